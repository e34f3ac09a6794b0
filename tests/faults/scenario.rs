//! The places at which a fault can occur, each as a row of the table.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use pan123_offline::Client;
use pan123_offline::testing::{Reply, Service};
use rustls::{ServerConnection, StreamOwned};

use crate::call::{Call, notation};
use crate::front::{Front, empty, full_listener, read_most, write};
use crate::support::{TASK, TOKEN, service};
use crate::tls::{Identity, TlsFront};

/// One row of the table.
pub(crate) struct Row {
    pub(crate) fault: &'static str,
    settings: Settings,
    cell: Box<dyn Fn(Call, Settings) -> String + Send + Sync>,
}

impl Row {
    fn new(
        fault: &'static str,
        cell: impl Fn(Call, Settings) -> String + Send + Sync + 'static,
    ) -> Self {
        Self {
            fault,
            settings: DEFAULT,
            cell: Box::new(cell),
        }
    }

    pub(crate) fn with(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    pub(crate) fn cell(&self, call: Call) -> String {
        (self.cell)(call, self.settings)
    }
}

/// The settings of a scenario.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) timeout: Duration,
    pub(crate) retries: u32,
    /// Whether the fault affects one request only.
    pub(crate) once: bool,
    /// Whether the client has made a call before, and has a connection in its pool.
    pub(crate) pooled: bool,
    pub(crate) tls: bool,
    /// Number of additional bytes in the request, if the call allows them.
    pub(crate) padding: usize,
}

pub(crate) const DEFAULT: Settings = Settings {
    timeout: Duration::from_secs(20),
    retries: 0,
    once: false,
    pooled: false,
    tls: false,
    padding: 0,
};
/// For faults that only the timeout ends. Not shorter, because sending gets only a part of it.
pub(crate) const SHORT_TIMEOUT: Settings = Settings {
    timeout: Duration::from_secs(6),
    ..DEFAULT
};
pub(crate) const ONCE: Settings = Settings {
    once: true,
    ..DEFAULT
};
pub(crate) const TLS: Settings = Settings {
    tls: true,
    ..DEFAULT
};

/// A stand-in that accepts `TOKEN` and the tokens that it issues, and the identity of a TLS server.
struct World {
    call: Call,
    settings: Settings,
    service: Service,
    identity: Identity,
    /// A server in front of the stand-in, if the scenario is over TLS.
    tls: Option<TlsFront>,
}

impl World {
    fn new(call: Call, settings: Settings) -> Self {
        let service = service();
        service.require_token(TOKEN);
        let identity = Identity::new("127.0.0.1", |_| {});
        let listen = || TlsFront::listen("127.0.0.1:0", service.address(), identity.clone());
        Self {
            call,
            settings,
            tls: settings.tls.then(listen),
            service,
            identity,
        }
    }

    /// Address of the server without a fault.
    fn address(&self) -> SocketAddr {
        let tls = self.tls.as_ref();
        tls.map_or(self.service.address(), TlsFront::address)
    }

    fn client(&self, address: SocketAddr) -> Client {
        let scheme = if self.settings.tls { "https" } else { "http" };
        let trust = self.identity.trust();
        self.call
            .builder(&format!("{scheme}://{address}"))
            .timeout(self.settings.timeout)
            .retries(self.settings.retries)
            .configure_agent(|agent| agent.tls_config(trust))
            .build()
            .unwrap()
    }

    /// Applies the fault to each connection, and forwards to the stand-in once it is lifted.
    fn front(
        &self,
        fault: impl Fn(TcpStream) -> Option<TcpStream> + Send + Sync + 'static,
    ) -> Front {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Front::start(listener, self.address(), Arc::new(fault))
    }

    fn request_count(&self) -> usize {
        let requests = self.service.requests();
        let of_the_call = requests.iter().filter(|it| self.call.is_sent_as(it));
        of_the_call.count()
    }

    /// Leaves a connection in the client's pool. A client without a token leaves one after a failed
    /// call.
    fn fill_pool(&self, client: &Client) {
        let is_ok = client.get_process(TASK).is_ok();
        assert_eq!(is_ok, self.call != Call::Token);
    }

    /// Makes the call with the fault, and again without it: the second call must succeed.
    fn cell(&self, client: &Client, count: impl Fn() -> usize, lift: impl FnOnce()) -> String {
        let before = count();
        let result = self.call.make(client, self.settings.padding);
        let requests = count() - before;
        lift();
        let cell = notation(&result, requests);
        match self.call.make(client, 0) {
            Ok(true) => cell,
            _ => cell + ", and the next call fails",
        }
    }
}

/// A row of faults in a response. Replies with the same result share the row.
pub(crate) fn response(
    fault: &'static str,
    replies: impl Fn(Call) -> Vec<Reply> + Send + Sync + 'static,
) -> Row {
    Row::new(fault, move |call, settings| {
        // Side by side, because many of them wait for a timeout.
        let mut cells: Vec<_> = thread::scope(|scope| {
            let run = |reply| scope.spawn(move || response_cell(call, settings, reply));
            let threads: Vec<_> = replies(call).into_iter().map(run).collect();
            let cells = threads.into_iter().map(|thread| thread.join().unwrap());
            cells.collect()
        });
        cells.dedup();
        cells.join(" OR ")
    })
}

fn response_cell(call: Call, settings: Settings, reply: Reply) -> String {
    let world = World::new(call, settings);
    let client = world.client(world.address());
    if settings.pooled {
        if call == Call::Token {
            world.service.reply_next(Reply::new(503));
        }
        world.fill_pool(&client);
    }
    let armed = Arc::new(AtomicBool::new(true));
    let is_armed = Arc::clone(&armed);
    world.service.reply_with(move |request| {
        let applies = call.is_sent_as(request) && is_armed.load(Ordering::SeqCst);
        if applies && settings.once {
            is_armed.store(false, Ordering::SeqCst);
        }
        applies.then(|| reply.clone())
    });
    let lift = || armed.store(false, Ordering::SeqCst);
    let cell = world.cell(&client, || world.request_count(), lift);
    let over_tls = world.tls.is_none_or(|front| front.connections() > 0);
    assert!(over_tls, "the call did not go over TLS");
    cell
}

/// The parts of a scenario that a fault needs.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) call: Call,
    pub(crate) identity: Identity,
}

/// A row of faults of whole connections. Each connection counts as one request.
pub(crate) fn connection(
    fault: &'static str,
    fault_of: fn(&Scene, TcpStream) -> Option<TcpStream>,
) -> Row {
    Row::new(fault, move |call, settings| {
        let world = World::new(call, settings);
        let identity = world.identity.clone();
        let scene = Scene { call, identity };
        let front = world.front(move |stream| fault_of(&scene, stream));
        let client = world.client(front.address());
        world.cell(&client, || front.connections(), || front.lift())
    })
}

/// Accepts a TLS connection, and reads a request.
pub(crate) fn accept_tls(
    identity: &Identity,
    stream: TcpStream,
) -> io::Result<StreamOwned<ServerConnection, TcpStream>> {
    let connection = ServerConnection::new(Arc::clone(&identity.config)).unwrap();
    let mut tls = StreamOwned::new(connection, stream);
    let len = tls.read(&mut [0; 4096])?;
    assert_ne!(len, 0, "the client has closed");
    Ok(tls)
}

/// A row in which no server listens during the call, and one listens after it.
pub(crate) fn nobody_listens(fault: &'static str) -> Row {
    Row::new(fault, |call, settings| {
        let world = World::new(call, settings);
        // An address of its own for each call: other rows run at the same time, and bind free ports of 127.0.0.1.
        let unused = TcpListener::bind(format!("127.0.0.{}:0", 2 + call as u8)).unwrap();
        let address = unused.local_addr().unwrap();
        drop(unused);
        let mut front = None;
        let lift = || front = Some(passing(TcpListener::bind(address).unwrap(), &world));
        world.cell(&world.client(address), || 0, lift)
    })
}

/// A row in which the backlog is full during the call, and emptied after it.
pub(crate) fn full_backlog(fault: &'static str) -> Row {
    let row = Row::new(fault, |call, settings| {
        let world = World::new(call, settings);
        let (listener, queued) = full_listener("127.0.0.1:0");
        let client = world.client(listener.local_addr().unwrap());
        let mut front = None;
        let lift = || {
            drop(queued);
            empty(&listener);
            front = Some(passing(listener, &world));
        };
        world.cell(&client, || 0, lift)
    });
    row.with(SHORT_TIMEOUT)
}

fn passing(listener: TcpListener, world: &World) -> Front {
    let front = Front::start(listener, world.address(), Arc::new(|_| None));
    front.lift();
    front
}

/// A row of faults of an idle connection in the client's pool. `first` is the response to the call
/// that put it there, and `then` is run before the next call.
pub(crate) fn idle(
    fault: &'static str,
    first: fn(Call) -> String,
    then: fn(Call, TcpStream) -> Option<TcpStream>,
) -> Row {
    Row::new(fault, move |call, settings| {
        let world = World::new(call, settings);
        let (go, wait_for_go) = mpsc::channel();
        let (done, wait_for_done) = mpsc::channel();
        let wait_for_go = Mutex::new(wait_for_go);
        let front = world.front(move |mut stream| {
            read_most(&mut stream);
            write(&stream, first(call));
            wait_for_go.lock().unwrap().recv().unwrap();
            let kept = then(call, stream);
            done.send(()).unwrap();
            kept
        });
        let client = world.client(front.address());
        world.fill_pool(&client);
        front.lift();
        go.send(()).unwrap();
        wait_for_done.recv().unwrap();
        // Gives the written bytes time to arrive at the other socket.
        thread::sleep(Duration::from_millis(20));
        world.cell(&client, || world.request_count(), || ())
    })
}

/// A row like [`idle`] over TLS: two responses, each in its own TLS record, written at once.
pub(crate) fn idle_tls(
    fault: &'static str,
    first: fn(Call) -> String,
    second: fn(Call) -> String,
) -> Row {
    let row = Row::new(fault, move |call, settings| {
        let world = World::new(call, settings);
        let identity = world.identity.clone();
        let front = world.front(move |stream| {
            let mut tls = accept_tls(&identity, stream).unwrap();
            for response in [first(call), second(call)] {
                tls.conn.writer().write_all(response.as_bytes()).unwrap();
            }
            let mut records = Vec::new();
            while tls.conn.wants_write() {
                tls.conn.write_tls(&mut records).unwrap();
            }
            write(&tls.sock, records);
            // A further request gets no response, and then the end of the connection.
            let _ = tls.sock.read(&mut [0; 4096]);
            None
        });
        let client = world.client(front.address());
        world.fill_pool(&client);
        front.lift();
        world.cell(&client, || world.request_count(), || ())
    });
    row.with(TLS)
}
