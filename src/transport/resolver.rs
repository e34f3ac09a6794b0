//! DNS lookups, cached.
//!
//! ureq resolves the host of every request, also where a pooled connection then serves it. This resolver returns the
//! known addresses as long as a pooled connection may exist, and makes a lookup otherwise.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};
use std::{error, fmt, io, thread};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{NextTimeout, time};

/// The time for which the addresses of a lookup are used for new connections. libcurl's default.
const MAX_AGE: Duration = Duration::from_secs(60);

/// The capacity of [`ResolvedSocketAddrs`].
const MAX_ADDRESSES: usize = 16;

/// Resolves names for one client and its clones: those of the service and a proxy, and others that a middleware requests.
#[derive(Debug, Clone, Default)]
pub(super) struct CachingResolver(Arc<Mutex<HashMap<String, Name>>>);

/// A name that was looked up with success.
#[derive(Debug)]
struct Name {
    /// Its addresses, without ports.
    addresses: Vec<SocketAddr>,
    /// The end of the last lookup; `None` if the next request needs another one.
    looked_up: Option<Instant>,
    last_used: Instant,
}

impl Resolver for CachingResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().ok_or(Error::HostNotFound)?;
        let port = match (uri.port_u16(), uri.scheme_str()) {
            (Some(port), _) => port,
            (None, Some("https")) => 443,
            (None, _) => 80,
        };
        let mut resolved = self.empty();
        // An IPv6 address has brackets in a URL.
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            resolved.push(SocketAddr::new(address, port));
            return Ok(resolved);
        }
        let timeout = match timeout.after {
            time::Duration::Exact(timeout) => timeout,
            time::Duration::NotHappening => super::MAX_TIMEOUT,
        };
        let addresses = self.addresses(host, config.max_idle_age(), timeout)?;
        let family = config.ip_family();
        let wanted = family.keep_wanted(addresses.into_iter());
        for mut address in wanted.take(MAX_ADDRESSES) {
            address.set_port(port);
            resolved.push(address);
        }
        if resolved.is_empty() {
            return Err(Error::HostNotFound);
        }
        Ok(resolved)
    }
}

impl CachingResolver {
    /// Makes the next request look its host up, because an attempt to connect has failed.
    pub(super) fn expire(&self) {
        let mut names = self.lock();
        names.values_mut().for_each(|name| name.looked_up = None);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Name>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the known addresses of a name, or looks it up. `max_idle_age` is that of a pooled connection; zero if the
    /// request has a connection of its own.
    fn addresses(
        &self,
        host: &str,
        max_idle_age: Duration,
        timeout: Duration,
    ) -> Result<Vec<SocketAddr>, Error> {
        let known = self.lock().get_mut(host).map(|name| {
            let is_valid = name.looked_up.is_some_and(|time| {
                time.elapsed() < MAX_AGE || name.last_used.elapsed() < max_idle_age
            });
            name.last_used = Instant::now();
            (is_valid, name.addresses.clone())
        });
        let addresses = match known {
            Some((true, addresses)) => return Ok(addresses),
            // The lookup gets half of the time, and connecting gets the rest. If it fails, known addresses stay in use.
            Some((false, addresses)) => look_up(host, timeout / 2).unwrap_or(addresses),
            None => look_up(host, timeout).map_err(|cause| {
                let host = host.to_owned();
                Error::Io(io::Error::new(cause.kind(), LookupError { host, cause }))
            })?,
        };
        let now = Instant::now();
        let name = Name {
            addresses: addresses.clone(),
            looked_up: Some(now),
            last_used: now,
        };
        self.lock().insert(host.to_owned(), name);
        Ok(addresses)
    }
}

/// Looks a name up on a thread, because the system's resolver has no timeout: it tries for 10 s and more.
fn look_up(host: &str, timeout: Duration) -> io::Result<Vec<SocketAddr>> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let host = host.to_owned();
    thread::Builder::new()
        .name("pan123-dns".to_owned())
        .spawn(move || sender.send((host.as_str(), 0).to_socket_addrs()))?;
    match receiver.recv_timeout(timeout) {
        Ok(result) => Ok(result?.collect()),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Error of a lookup: a type of its own, because the text of the system's error depends on the system's language.
#[derive(Debug)]
pub(super) struct LookupError {
    pub(super) host: String,
    cause: io::Error,
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl error::Error for LookupError {}
