//! kubectl-etcd: what kubectl starts as `kubectl etcd`.

fn main() {}
