//! etcd's command line as static pods have it: `--flag=value` and `--flag value`, and `ETCD_…` in the environment.
