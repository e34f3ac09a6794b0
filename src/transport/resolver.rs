//! DNS lookups, cached.
//!
//! ureq resolves the host of every request, also where a pooled connection then serves it. This resolver returns the
//! known addresses as long as a pooled connection may exist, and makes a lookup otherwise.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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

/// Resolves names for one client and its clones.
#[derive(Debug, Clone, Default)]
pub(super) struct CachingResolver(Arc<Cache>);

#[derive(Debug, Default)]
struct Cache {
    /// The names of the service and a proxy, and others that a middleware requests.
    names: Mutex<HashMap<String, Name>>,
    /// Signalled when a lookup has ended.
    lookup_ended: Condvar,
}

#[derive(Debug, Default)]
struct Name {
    /// The addresses of the last successful lookup, without ports.
    addresses: Vec<SocketAddr>,
    /// The end of the last lookup; `None` if the next request needs another one.
    looked_up: Option<Instant>,
    last_used: Option<Instant>,
    is_lookup_running: bool,
    /// Error of the last lookup.
    error: Option<Arc<io::Error>>,
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
        self.0.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the known addresses of a name, or waits for a lookup. `max_idle_age` is that of a pooled connection; zero
    /// if the request has a connection of its own.
    fn addresses(
        &self,
        host: &str,
        max_idle_age: Duration,
        timeout: Duration,
    ) -> Result<Vec<SocketAddr>, Error> {
        let mut names = self.lock();
        let name = names.entry(host.to_owned()).or_default();
        if name.is_valid(max_idle_age) {
            return Ok(name.used());
        }
        // With known addresses, the lookup gets half of the time, and connecting gets the rest.
        let parts = if name.addresses.is_empty() { 1 } else { 2 };
        if !name.is_lookup_running {
            name.error = self.start_lookup(host).err().map(Arc::new);
            name.is_lookup_running = name.error.is_none();
        }
        let is_running = |names: &mut HashMap<_, Name>| names[host].is_lookup_running;
        let Cache { lookup_ended, .. } = &*self.0;
        let (mut names, _) = lookup_ended
            .wait_timeout_while(names, timeout / parts, is_running)
            .unwrap_or_else(PoisonError::into_inner);
        let name = names.entry(host.to_owned()).or_default();
        if name.addresses.is_empty() {
            return Err(name.lookup_error(host));
        }
        // Known addresses stay in use after a failed lookup.
        name.looked_up = Some(Instant::now());
        Ok(name.used())
    }

    /// Starts a thread, because the system's resolver has no timeout: it tries for 10 s and more.
    fn start_lookup(&self, host: &str) -> io::Result<()> {
        let (resolver, host) = (self.clone(), host.to_owned());
        let thread = thread::Builder::new().name("pan123-dns".to_owned());
        let look_up = move || {
            let result = (host.as_str(), 0).to_socket_addrs();
            let mut names = resolver.lock();
            let name = names.entry(host).or_default();
            name.is_lookup_running = false;
            match result {
                Ok(addresses) => {
                    name.addresses = addresses.collect();
                    name.looked_up = Some(Instant::now());
                }
                Err(error) => name.error = Some(Arc::new(error)),
            }
            resolver.0.lookup_ended.notify_all();
        };
        thread.spawn(look_up).map(drop)
    }
}

impl Name {
    /// Returns whether the addresses may be used without a lookup.
    fn is_valid(&self, max_idle_age: Duration) -> bool {
        let is_within =
            |time: Option<Instant>, max_age| time.is_some_and(|time| time.elapsed() < max_age);
        self.looked_up.is_some()
            && (is_within(self.looked_up, MAX_AGE) || is_within(self.last_used, max_idle_age))
    }

    fn used(&mut self) -> Vec<SocketAddr> {
        self.last_used = Some(Instant::now());
        self.addresses.clone()
    }

    /// Returns the error of the last lookup, or that it has not ended in time.
    fn lookup_error(&self, host: &str) -> Error {
        let timed_out = || Arc::new(io::ErrorKind::TimedOut.into());
        let cause = self.error.clone().unwrap_or_else(timed_out);
        let host = host.to_owned();
        Error::Io(io::Error::new(cause.kind(), LookupError { host, cause }))
    }
}

/// Error of a lookup: a type of its own, because the text of the system's error depends on the system's language.
#[derive(Debug)]
pub(super) struct LookupError {
    pub(super) host: String,
    cause: Arc<io::Error>,
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl error::Error for LookupError {}
