//! Real etcd processes on loopback, in temporary directories, killed when their handle goes.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::{parts, wait};

/// Longest wait for an etcd that shares two cores with others.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The server of a line. `3.4` is Debian's, the others are the test bed's.
///
/// # Errors
/// When it is not there and cannot be built.
pub fn server(line: &str) -> Result<PathBuf> {
    match line {
        "3.4" => parts::etcd_of_debian(),
        line => Ok(parts::etcd(line)?.etcd),
    }
}

/// Runs a program; gives its standard output.
///
/// # Errors
/// When it cannot be run or fails; its standard error is in the message.
pub fn run(program: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(args)
        .env("ETCDCTL_API", "3")
        .output()?;
    if !output.status.success() {
        bail!(
            "{} {args:?}: {}\n{}",
            program.display(),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A port of loopback that nobody listens on.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Where a member listens.
#[derive(Debug, Clone)]
pub struct Place {
    /// The member's name.
    pub name: String,
    /// Port for clients.
    pub client: u16,
    /// Port for peers.
    pub peer: u16,
}

impl Place {
    /// Two free ports.
    ///
    /// # Errors
    /// When there are none.
    pub fn new(name: &str) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            client: free_port()?,
            peer: free_port()?,
        })
    }

    /// Places of `n` members `m1`, `m2`, ….
    ///
    /// # Errors
    /// When there are no free ports.
    pub fn several(n: usize) -> Result<Vec<Self>> {
        (1..=n).map(|i| Self::new(&format!("m{i}"))).collect()
    }

    /// Where peers reach it.
    #[must_use]
    pub fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.peer)
    }

    /// Where clients reach it.
    #[must_use]
    pub fn client_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.client)
    }
}

/// `name=url,…` of all members.
#[must_use]
pub fn initial_cluster(places: &[Place]) -> String {
    let one = |place: &Place| format!("{}={}", place.name, place.peer_url());
    places.iter().map(one).collect::<Vec<_>>().join(",")
}

/// A running etcd.
pub struct Etcd {
    child: Child,
    /// Where it listens.
    pub place: Place,
    /// What it says.
    pub log: PathBuf,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Etcd {
    /// Starts an etcd on a data directory; does not wait for it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        server: &Path,
        place: &Place,
        cluster: &[Place],
        data_dir: &Path,
        more: &[&str],
    ) -> Result<Self> {
        let log = data_dir.with_extension(format!("{}.log", place.name));
        let out = File::options().create(true).append(true).open(&log)?;
        let child = Command::new(server)
            .args(["--name", &place.name, "--data-dir"])
            .arg(data_dir)
            .args([
                "--listen-client-urls",
                &place.client_url(),
                "--advertise-client-urls",
                &place.client_url(),
            ])
            .args([
                "--listen-peer-urls",
                &place.peer_url(),
                "--initial-advertise-peer-urls",
                &place.peer_url(),
            ])
            .args(["--initial-cluster", &initial_cluster(cluster)])
            .args(more)
            .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot start {}", server.display()))?;
        Ok(Self {
            child,
            place: place.clone(),
            log,
        })
    }

    /// Starts a member of its own and waits until it serves.
    ///
    /// # Errors
    /// As [`Etcd::wait_ready`].
    pub fn alone(server: &Path, data_dir: &Path) -> Result<Self> {
        let place = Place::new("m1")?;
        let mut etcd = Self::start(server, &place, std::slice::from_ref(&place), data_dir, &[])?;
        etcd.wait_ready()?;
        Ok(etcd)
    }

    /// Waits until it has a leader and serves.
    ///
    /// # Errors
    /// When it ends or does not serve in time; the end of its log is in the message.
    pub fn wait_ready(&mut self) -> Result<()> {
        let port = self.place.client;
        let mut ended = None;
        let ready = wait::until("etcd serves", PATIENCE, || {
            if let Ok(Some(status)) = self.child.try_wait() {
                ended = Some(status);
                return Ok(());
            }
            match get(port, "/health") {
                Ok(body) if body.contains("\"true\"") => Ok(()),
                Ok(body) => Err(body),
                Err(e) => Err(e.to_string()),
            }
        });
        match ended {
            Some(status) => bail!("etcd ended: {status}\n{}", self.log_end()),
            None => ready.with_context(|| self.log_end()),
        }
    }

    /// Waits until it ends by itself; gives the end of its log.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn wait_end(&mut self) -> Result<String> {
        wait::until("etcd ends", PATIENCE, || match self.child.try_wait() {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
        Ok(self.log_end())
    }

    /// The end of its log, for messages.
    #[must_use]
    pub fn log_end(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(3000)..]).into_owned();
        format!("end of {}:\n{text}", self.log.display())
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Puts a key; gives the revision.
    ///
    /// # Errors
    /// When etcd does not answer, or answers with an error.
    pub fn put(&self, key: &str, value: &str) -> Result<u64> {
        put(self.place.client, key, value)
    }

    /// All keys.
    ///
    /// # Errors
    /// When etcd does not answer, or answers with an error.
    pub fn keys(&self) -> Result<Vec<String>> {
        let all = json!({"key": base64("\0"), "range_end": base64("\0"), "keys_only": true});
        let answer = post(self.place.client, "/v3/kv/range", &all)?;
        let keys = answer["kvs"].as_array().into_iter().flatten();
        keys.map(|kv| {
            Ok(String::from_utf8(unbase64(
                kv["key"].as_str().unwrap_or_default(),
            )?)?)
        })
        .collect()
    }

    /// Deletes a key.
    ///
    /// # Errors
    /// When etcd does not answer, or answers with an error.
    pub fn delete(&self, key: &str) -> Result<()> {
        post(
            self.place.client,
            "/v3/kv/deleterange",
            &json!({"key": base64(key)}),
        )
        .map(drop)
    }

    /// A key's value.
    ///
    /// # Errors
    /// When etcd does not answer, or answers with an error.
    pub fn get(&self, key: &str) -> Result<Option<String>> {
        let answer = post(
            self.place.client,
            "/v3/kv/range",
            &json!({"key": base64(key)}),
        )?;
        match answer["kvs"][0]["value"].as_str() {
            Some(value) => Ok(Some(String::from_utf8(unbase64(value)?)?)),
            None if answer["kvs"][0].is_object() => Ok(Some(String::new())),
            None => Ok(None),
        }
    }

    /// Compacts, and waits until that is done.
    ///
    /// # Errors
    /// When etcd does not answer, or answers with an error.
    pub fn compact(&self, revision: u64) -> Result<()> {
        let request = json!({"revision": revision.to_string(), "physical": true});
        post(self.place.client, "/v3/kv/compaction", &request).map(drop)
    }

    /// Defragments.
    ///
    /// # Errors
    /// When etcd does not answer, or answers with an error.
    pub fn defragment(&self) -> Result<()> {
        post(self.place.client, "/v3/maintenance/defragment", &json!({})).map(drop)
    }

    /// The current revision.
    ///
    /// # Errors
    /// When etcd does not answer, or answers with an error.
    pub fn revision(&self) -> Result<u64> {
        let answer = post(
            self.place.client,
            "/v3/kv/range",
            &json!({"key": base64("none")}),
        )?;
        number(&answer["header"]["revision"])
    }

    /// First answer of a watch of everything from a revision on.
    ///
    /// # Errors
    /// When etcd does not answer, or answers with an error.
    pub fn watch_from(&self, revision: u64) -> Result<Value> {
        let create = json!({"create_request": {
            "key": base64("\0"), "range_end": base64("\0"), "start_revision": revision.to_string()}});
        // The stream does not end: take the first lines that tell something.
        let mut stream = request(self.place.client, "POST", "/v3/watch", &create.to_string())?;
        let mut text = String::new();
        let mut byte = [0];
        while stream.read(&mut byte)? == 1 {
            text.push(char::from(byte[0]));
            let Some(line) = text.lines().rfind(|line| line.starts_with('{')) else {
                continue;
            };
            if let Ok(answer) = serde_json::from_str::<Value>(line) {
                let result = &answer["result"];
                if result["canceled"] == json!(true) || result["events"].is_array() {
                    return Ok(result.clone());
                }
                text.clear();
            }
        }
        bail!("the watch ended without an answer: {text}")
    }

    /// hashkv at a revision (0: now) with the revision it was compacted at.
    ///
    /// # Errors
    /// When etcd does not answer, or answers with an error.
    pub fn hashkv(&self, etcdctl: &Path, revision: u64) -> Result<(u64, i64)> {
        let revision = format!("--rev={revision}");
        let endpoint = self.place.client_url();
        let text = run(
            etcdctl,
            &[
                "--endpoints",
                &endpoint,
                "endpoint",
                "hashkv",
                &revision,
                "-w",
                "json",
            ],
        )?;
        let answer: Value = serde_json::from_str(&text)?;
        let hash = &answer[0]["HashKV"];
        Ok((
            hash["hash"].as_u64().context("no hash")?,
            hash["compact_revision"].as_i64().unwrap_or(-1),
        ))
    }

    /// Saves a snapshot. What was written before is in the database file then, too.
    ///
    /// # Errors
    /// When etcd does not answer, or answers with an error.
    pub fn snapshot(&self, etcdctl: &Path, to: &Path) -> Result<()> {
        let to = to.to_str().context("path")?;
        run(
            etcdctl,
            &[
                "--endpoints",
                &self.place.client_url(),
                "snapshot",
                "save",
                to,
            ],
        )
        .map(drop)
    }
}

/// Puts, updates and deletes keys: what every test database has.
///
/// # Errors
/// When etcd does not answer, or answers with an error.
pub fn fill(etcd: &Etcd, keys: usize, value_bytes: usize) -> Result<()> {
    let value = |round: usize, i: usize| format!("{round}-{i}-{}", "x".repeat(value_bytes));
    for i in 0..keys {
        etcd.put(&format!("/registry/pods/default/p{i}"), &value(1, i))?;
    }
    for i in (0..keys).step_by(3) {
        etcd.put(&format!("/registry/pods/default/p{i}"), &value(2, i))?;
    }
    for i in (0..keys).step_by(7) {
        etcd.delete(&format!("/registry/pods/default/p{i}"))?;
    }
    Ok(())
}

fn number(value: &Value) -> Result<u64> {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .with_context(|| format!("not a number: {value}"))
}

fn request(port: u16, method: &str, path: &str, body: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_write_timeout(Some(Duration::from_secs(20)))?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes())?;
    Ok(stream)
}

fn response(mut stream: TcpStream) -> Result<(u16, String)> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").context("no answer")?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .context("no status")?;
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    Ok((
        status,
        if chunked {
            unchunk(body)
        } else {
            body.to_owned()
        },
    ))
}

fn unchunk(mut body: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else {
            break;
        };
        let Some(chunk) = rest.get(..size) else { break };
        out.push_str(chunk);
        body = rest.get(size + 2..).unwrap_or_default();
    }
    out
}

/// Puts a key through the member with this client port; gives the revision.
///
/// # Errors
/// When etcd does not answer, or answers with an error.
pub fn put(port: u16, key: &str, value: &str) -> Result<u64> {
    let answer = post(
        port,
        "/v3/kv/put",
        &json!({"key": base64(key), "value": base64(value)}),
    )?;
    number(&answer["header"]["revision"])
}

/// Puts several keys in one transaction: at most 128, or as many as `--max-txn-ops` allows.
///
/// # Errors
/// When etcd does not answer, or answers with an error.
pub fn put_all(port: u16, pairs: &[(String, &[u8])]) -> Result<()> {
    let puts: Vec<Value> = pairs
        .iter()
        .map(|(key, value)| json!({"requestPut": {"key": base64(key), "value": base64(value)}}))
        .collect();
    post(port, "/v3/kv/txn", &json!({"success": puts})).map(drop)
}

/// What a GET answers.
///
/// # Errors
/// When nobody answers.
pub fn get(port: u16, path: &str) -> Result<String> {
    Ok(response(request(port, "GET", path, "")?)?.1)
}

/// A call through etcd's JSON gateway.
///
/// # Errors
/// When nobody answers, or with an error.
pub fn post(port: u16, path: &str, body: &Value) -> Result<Value> {
    let (status, body) = response(request(port, "POST", path, &body.to_string())?)?;
    if status != 200 {
        bail!("{path}: {status} {body}");
    }
    Ok(serde_json::from_str(&body)?)
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(bytes)
}

fn unbase64(text: &str) -> Result<Vec<u8>> {
    Ok(BASE64_STANDARD.decode(text)?)
}
