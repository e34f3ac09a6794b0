//! DNS lookups, cached.
//!
//! ureq resolves the host of every request, also where a pooled connection then serves it. This resolver makes a lookup
//! only for a new connection: while the addresses of the service are expired it returns none, so that a request finds a
//! pooled connection or fails at once with an error that [`CachingResolver::is_lookup_needed`] recognises, and
//! [`CachingResolver::refresh`] looks the name up before the request is made again.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{error, fmt, thread};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::uri::Authority;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::{Error, Timeout};

/// The time for which the addresses of a name are used for new connections. libcurl's default.
const MAX_AGE: Duration = Duration::from_secs(60);

/// The time for which the last known addresses are used after a failed lookup, before the next lookup.
const FALLBACK_AGE: Duration = Duration::from_secs(5);

/// Maximum number of cached names: those of the service and a proxy, and others that a middleware may request.
const MAX_ENTRIES: usize = 4;

/// Resolves names for one client and its clones.
#[derive(Debug, Clone)]
pub(super) struct CachingResolver {
    service: Arc<Uri>,
    /// The service's address, if its URL holds one in place of a name.
    service_address: Option<SocketAddr>,
    cache: Arc<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    entries: Mutex<Vec<Entry>>,
    /// Signalled when a lookup has ended.
    lookup_ended: Condvar,
}

/// The addresses of a name and a port.
#[derive(Debug)]
struct Entry {
    host: String,
    port: u16,
    /// The addresses of the last successful lookup. Also used after they expire, where a new lookup fails.
    addresses: Arc<[SocketAddr]>,
    /// The time from which a new connection needs a new lookup.
    expires: Option<Instant>,
    lookup: Lookup,
}

/// The state of a name's last lookup.
#[derive(Debug, Clone)]
enum Lookup {
    Running,
    Succeeded,
    Failed(Arc<io::Error>),
}

impl CachingResolver {
    /// `service` is any URL of the service.
    pub(super) fn new(service: Uri) -> Self {
        let service_address = host_and_port(&service)
            .ok()
            .and_then(|(host, port)| parse_address(host, port));
        Self {
            service: Arc::new(service),
            service_address,
            cache: Arc::default(),
        }
    }

    /// Looks up the service's name, unless its addresses have not expired.
    pub(super) fn refresh(&self, deadline: Instant) -> Result<(), Error> {
        let (host, port) = host_and_port(&self.service)?;
        match self.cache.valid_addresses(host, port) {
            Some(_) => Ok(()),
            None => self.cache.look_up(host, port, deadline).map(drop),
        }
    }

    /// Makes the next new connection look its host up, since an attempt to connect has failed.
    pub(super) fn expire(&self) {
        self.cache
            .lock()
            .iter_mut()
            .for_each(|entry| entry.expires = None);
    }

    /// Returns whether a request failed because it needs a new connection and the service's addresses have
    /// expired. ureq then has no address to try, and reports a refused connection that no system call
    /// has refused.
    pub(super) fn is_lookup_needed(&self, error: &Error) -> bool {
        let is_refused = matches!(error, Error::Io(e) if e.kind() == io::ErrorKind::ConnectionRefused && e.raw_os_error().is_none());
        is_refused && self.service_address.is_none()
    }

    fn is_service(&self, uri: &Uri) -> bool {
        // Compared as text, because this runs for every request.
        uri.authority().map(Authority::as_str) == self.service.authority().map(Authority::as_str)
    }

    /// Returns whether the service was looked up before, so that it may have a pooled connection.
    fn may_be_connected(&self, uri: &Uri, host: &str, port: u16) -> bool {
        self.is_service(uri)
            && self
                .cache
                .lock()
                .iter()
                .any(|entry| entry.is_for(host, port) && !entry.addresses.is_empty())
    }
}

impl Resolver for CachingResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let mut resolved = self.empty();
        if let Some(address) = self.service_address.filter(|_| self.is_service(uri)) {
            resolved.push(address);
            return Ok(resolved);
        }
        let (host, port) = host_and_port(uri)?;
        if let Some(address) = parse_address(host, port) {
            resolved.push(address);
            return Ok(resolved);
        }
        let addresses = match self.cache.valid_addresses(host, port) {
            Some(addresses) => addresses,
            None if self.may_be_connected(uri, host, port) => return Ok(resolved),
            None => {
                let timeout = if timeout.after.is_not_happening() {
                    super::MAX_TIMEOUT
                } else {
                    *timeout.after
                };
                self.cache.look_up(host, port, Instant::now() + timeout)?
            }
        };
        let ip_family = config.ip_family();
        let wanted = ip_family.keep_wanted(addresses.iter().copied());
        wanted
            .take(MAX_ADDRESSES)
            .for_each(|address| resolved.push(address));
        if resolved.is_empty() {
            Err(Error::HostNotFound)
        } else {
            Ok(resolved)
        }
    }
}

/// The capacity of [`ResolvedSocketAddrs`].
const MAX_ADDRESSES: usize = 16;

impl Cache {
    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn valid_addresses(&self, host: &str, port: u16) -> Option<Arc<[SocketAddr]>> {
        let entries = self.lock();
        let entry = entries.iter().find(|entry| entry.is_for(host, port))?;
        entry
            .expires
            .filter(|expires| Instant::now() < *expires)
            .map(|_| Arc::clone(&entry.addresses))
    }

    /// Looks a name up, or joins the lookup that is under way. Where it fails, returns the last known addresses.
    fn look_up(
        self: &Arc<Self>,
        host: &str,
        port: u16,
        deadline: Instant,
    ) -> Result<Arc<[SocketAddr]>, Error> {
        let mut entries = self.lock();
        let position = entries.iter().position(|entry| entry.is_for(host, port));
        let known = position
            .map(|position| Arc::clone(&entries[position].addresses))
            .unwrap_or_default();
        if !position.is_some_and(|position| matches!(entries[position].lookup, Lookup::Running)) {
            self.start_lookup(&mut entries, host, port)
                .map_err(lookup_failed)?;
        }
        let now = Instant::now();
        // With known addresses, the lookup gets half of the remaining time, and connecting gets the rest.
        let remaining = deadline.saturating_duration_since(now);
        let deadline = if known.is_empty() {
            deadline
        } else {
            now + remaining / 2
        };
        loop {
            let entry = entries.iter_mut().find(|entry| entry.is_for(host, port));
            let Some(entry) = entry else {
                return Err(Error::HostNotFound);
            };
            let remaining = deadline.saturating_duration_since(Instant::now());
            let error = match &entry.lookup {
                Lookup::Succeeded => return Ok(Arc::clone(&entry.addresses)),
                Lookup::Failed(error) => lookup_failed(Arc::clone(error)),
                Lookup::Running if remaining.is_zero() => Error::Timeout(Timeout::Resolve),
                Lookup::Running => {
                    entries = self
                        .lookup_ended
                        .wait_timeout(entries, remaining)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0;
                    continue;
                }
            };
            if known.is_empty() {
                return Err(error);
            }
            entry.expires = Some(Instant::now() + FALLBACK_AGE);
            return Ok(known);
        }
    }

    /// Starts a thread, because the system's resolver has no timeout: it tries for 10 s and more.
    fn start_lookup(
        self: &Arc<Self>,
        entries: &mut Vec<Entry>,
        host: &str,
        port: u16,
    ) -> io::Result<()> {
        let (cache, name) = (Arc::clone(self), host.to_owned());
        thread::Builder::new()
            .name("pan123-dns".to_owned())
            .spawn(move || {
                let result = (name.as_str(), port).to_socket_addrs().map(Arc::from_iter);
                cache.finish_lookup(&name, port, result);
            })?;
        match entries.iter_mut().find(|entry| entry.is_for(host, port)) {
            Some(entry) => entry.lookup = Lookup::Running,
            None => {
                if entries.len() == MAX_ENTRIES {
                    entries.remove(0);
                }
                let (host, lookup) = (host.to_owned(), Lookup::Running);
                entries.push(Entry {
                    host,
                    port,
                    addresses: Arc::default(),
                    expires: None,
                    lookup,
                });
            }
        }
        Ok(())
    }

    fn finish_lookup(&self, host: &str, port: u16, result: io::Result<Arc<[SocketAddr]>>) {
        let mut entries = self.lock();
        if let Some(entry) = entries.iter_mut().find(|entry| entry.is_for(host, port)) {
            match result {
                Ok(addresses) if addresses.is_empty() => {
                    entry.lookup =
                        Lookup::Failed(Arc::new(io::Error::other("the name has no address")));
                }
                Ok(addresses) => {
                    (entry.addresses, entry.lookup) = (addresses, Lookup::Succeeded);
                    entry.expires = Some(Instant::now() + MAX_AGE);
                }
                Err(error) => entry.lookup = Lookup::Failed(Arc::new(error)),
            }
        }
        self.lookup_ended.notify_all();
    }
}

impl Entry {
    fn is_for(&self, host: &str, port: u16) -> bool {
        self.port == port && self.host == host
    }
}

fn host_and_port(uri: &Uri) -> Result<(&str, u16), Error> {
    let host = uri.host().ok_or(Error::HostNotFound)?;
    let port = match (uri.port_u16(), uri.scheme_str()) {
        (Some(port), _) => port,
        (None, Some("https")) => 443,
        (None, _) => 80,
    };
    // An IPv6 address has brackets in a URL.
    Ok((host.trim_start_matches('[').trim_end_matches(']'), port))
}

/// The address of a host that is an address and no name.
fn parse_address(host: &str, port: u16) -> Option<SocketAddr> {
    host.parse::<IpAddr>()
        .ok()
        .map(|address| SocketAddr::new(address, port))
}

/// Error of the system's resolver: a type of its own, because its text depends on the system's language.
#[derive(Debug)]
pub(super) struct LookupError(Arc<io::Error>);

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl error::Error for LookupError {}

impl<E: Into<Arc<io::Error>>> From<E> for LookupError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

fn lookup_failed(error: impl Into<LookupError>) -> Error {
    Error::Io(io::Error::other(error.into()))
}

#[cfg(test)]
mod tests;
