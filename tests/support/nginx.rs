//! An nginx for one test, with its own configuration, certificate, port and folder.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::tls::Identity;

/// Timeout that only a hang reaches.
const MAX_WAIT: Duration = Duration::from_secs(20);
/// Maximum number of attempts to find a free port: another program may take it meanwhile.
const MAX_ATTEMPTS: usize = 10;

/// Returns a configuration with HTTP/1.1 and keep-alive on both sides. There is one worker at a time, so that its process
/// id changes with a reload. The additions are those of [`Nginx::start_as`].
fn configuration(port: u16, upstream: SocketAddr, additions: [&str; 3]) -> String {
    let [listen, http, server] = additions;
    format!(
        "daemon off;
            master_process on;
            worker_processes 1;
            pid nginx.pid;
            error_log error.log notice;
            events {{}}
            http {{
                log_format entry '$connection $pid $status $request_method $server_protocol';
                access_log access.log entry;
                client_body_temp_path client_body;
                proxy_temp_path proxy;
                fastcgi_temp_path fastcgi;
                uwsgi_temp_path uwsgi;
                scgi_temp_path scgi;
                server_tokens off;
                keepalive_requests 1000;
                proxy_http_version 1.1;
                proxy_set_header Connection '';
                upstream service {{ server {upstream}; keepalive 8; }}
                {http}
                server {{
                    listen 127.0.0.1:{port} ssl {listen};
                    ssl_certificate certificate.pem;
                    ssl_certificate_key key.pem;
                    {server}
                    location / {{ proxy_pass http://service; }}
                }}
            }}
            "
    )
}

/// A running nginx, a foreground child of this process. Dropping it stops it and removes its
/// folder.
pub(crate) struct Nginx {
    child: Child,
    port: u16,
    folder: Folder,
}

/// A line of the access log, which is written at the end of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Number of the connection.
    pub(crate) connection: u64,
    /// Process id of the worker.
    pub(crate) worker: u32,
    pub(crate) status: u16,
    pub(crate) method: String,
    /// Protocol of the request, for example `HTTP/1.1`.
    pub(crate) protocol: String,
}

impl Nginx {
    /// Starts nginx in front of a service. The additions are parameters of `listen`, directives of the block `http`, and
    /// directives of the block `server`, which take precedence over those of `http`.
    pub(crate) fn start_as(identity: &Identity, upstream: SocketAddr, add: [&str; 3]) -> Self {
        let started = (0..MAX_ATTEMPTS).find_map(|_| Self::try_start(identity, upstream, add));
        started.expect("a port that stays free")
    }

    /// Returns `None` if another program has taken the port meanwhile.
    fn try_start(identity: &Identity, upstream: SocketAddr, add: [&str; 3]) -> Option<Self> {
        let unused = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = unused.local_addr().unwrap().port();
        drop(unused);
        let folder = Folder::new();
        folder.write("certificate.pem", &identity.certificate_pem);
        folder.write("key.pem", &identity.key_pem);
        folder.write("nginx.conf", &configuration(port, upstream, add));
        let child = folder.nginx().spawn().unwrap();
        let mut nginx = Self {
            child,
            port,
            folder,
        };
        // nginx writes its process id after it has opened the port.
        wait_until("nginx listens", || {
            nginx.is_over() || nginx.folder.read("nginx.pid").ends_with('\n')
        });
        if !nginx.is_over() {
            return Some(nginx);
        }
        let log = nginx.folder.read("stderr") + &nginx.folder.read("error.log");
        assert!(log.contains("Address already in use"), "{log}");
        None
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Returns the complete lines of the access log.
    pub(crate) fn log(&self) -> Vec<Entry> {
        let text = self.folder.read("access.log");
        let (whole_lines, _) = text.rsplit_once('\n').unwrap_or_default();
        whole_lines.lines().map(Entry::parse).collect()
    }

    /// Stops nginx, and returns all lines of the access log.
    pub(crate) fn stop(mut self) -> Vec<Entry> {
        self.end();
        self.log()
    }

    /// Reloads the configuration, which starts a new worker.
    #[track_caller]
    pub(crate) fn reload(&self) {
        assert!(self.signal("reload"), "{}", self.folder.read("stderr"));
    }

    fn signal(&self, signal: &str) -> bool {
        let status = self.folder.nginx().args(["-s", signal]).status();
        status.is_ok_and(|status| status.success())
    }

    fn is_over(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Does not panic, because it may run during a panic.
    fn end(&mut self) {
        let stopped = self.is_over() || (self.signal("stop") && is_done_in_time(|| self.is_over()));
        if !stopped {
            // Only as the last resort, because the worker keeps running.
            drop(self.child.kill().and_then(|()| self.child.wait()));
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the error log of nginx:\n{}", self.folder.read("error.log"));
        }
        self.end();
    }
}

impl Entry {
    fn parse(line: &str) -> Self {
        let words: Vec<_> = line.split(' ').collect();
        let [connection, worker, status, method, protocol] = words[..] else {
            panic!("{line}")
        };
        Self {
            connection: connection.parse().unwrap(),
            worker: worker.parse().unwrap(),
            status: status.parse().unwrap(),
            method: method.to_owned(),
            protocol: protocol.to_owned(),
        }
    }
}

/// Waits until `done` returns true, and panics after [`MAX_WAIT`].
#[track_caller]
pub(crate) fn wait_until(what: &str, done: impl FnMut() -> bool) {
    assert!(is_done_in_time(done), "timed out waiting until {what}");
}

/// Waits until `done` returns true; returns false after [`MAX_WAIT`].
fn is_done_in_time(mut done: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while !done() {
        if started.elapsed() > MAX_WAIT {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

/// A temporary folder that is removed on drop.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);

        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pan123-gateway-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    /// Returns the content of a file; empty if it cannot be read.
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }

    /// Returns a command that runs nginx with this folder's configuration.
    fn nginx(&self) -> Command {
        // Debian installs nginx outside of the search path of ordinary users.
        let paths = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        let program = std::env::split_paths(&paths)
            .map(|path| path.join("nginx"))
            .find(|path| path.exists());
        let mut command = Command::new(program.expect("nginx is installed"));
        let mut options = fs::File::options();
        let stderr = options
            .create(true)
            .append(true)
            .open(self.0.join("stderr"));
        let configuration = self.0.join("nginx.conf");
        command.arg("-p").arg(&self.0).arg("-c").arg(configuration);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(stderr.unwrap());
        command
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}
