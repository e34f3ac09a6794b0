//! Connections through a proxy, bounded in time.
//!
//! ureq allows the whole time for connecting for each read of a proxy's response to CONNECT. With ureq's own connector,
//! a proxy that sends one byte at a time could delay a call for hours.

use std::time::Instant;

use ureq::Error;
use ureq::unversioned::transport::time::Duration;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout,
    Transport as UreqTransport,
};

/// ureq's own connector, with a time limit for consecutive reads from a proxy.
#[derive(Debug, Default)]
pub(super) struct ProxyConnector(DefaultConnector);

impl Connector for ProxyConnector {
    type Out = Box<dyn UreqTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        let connection = self.0.connect(details, chained)?;
        // For the connection to the proxy itself, ureq calls this with a configuration that has no proxy.
        if details.config.proxy().is_some() {
            return Ok(connection);
        }
        Ok(connection.map(|inner| {
            Box::new(BoundedReads {
                inner,
                deadline: None,
            }) as Self::Out
        }))
    }
}

/// A connection whose consecutive reads, with no write between them, share the time limit of the first.
#[derive(Debug)]
struct BoundedReads {
    inner: Box<dyn UreqTransport>,
    deadline: Option<Instant>,
}

impl UreqTransport for BoundedReads {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.deadline = None;
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, mut timeout: NextTimeout) -> Result<bool, Error> {
        if let Duration::Exact(after) = timeout.after {
            let now = Instant::now();
            let remaining = self
                .deadline
                .get_or_insert(now + after)
                .saturating_duration_since(now);
            timeout.after = Duration::Exact(remaining.min(after));
        }
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}
