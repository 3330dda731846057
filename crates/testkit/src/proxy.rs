//! A TCP proxy in front of a server, with the faults of a network: it refuses, stalls, loses one
//! direction, delays or cuts off.
//!
//! It does not know the protocol that passes through it. It runs in the runtime that started it, like
//! any other task of a test.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::free_port;
use crate::server::must;

/// The most that one read takes.
const CHUNK_BYTES: usize = 64 * 1024;

/// What happens to connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Everything passes.
    #[default]
    Pass,
    /// Open connections are reset, new ones refused: the server is gone.
    Refuse,
    /// Connections are accepted and closed at once, open ones are reset: something listens in place
    /// of the server.
    Close,
    /// Connections are accepted and stay open, but nothing moves. What was sent meanwhile
    /// passes after [`Mode::Pass`].
    Stall,
    /// Requests reach the server; its replies are thrown away. Afterwards these connections lack
    /// replies: follow with [`FaultProxy::reset_connections`].
    DropReplies,
    /// Requests are thrown away; what the server sends by itself passes.
    DropRequests,
}

/// A proxy in front of one server. Its connections are cut when it is dropped.
pub struct FaultProxy {
    address: SocketAddr,
    upstream: SocketAddr,
    fault: watch::Sender<Fault>,
    line: Mutex<Line>,
    turns: Arc<AtomicU64>,
    accepted: Arc<AtomicU64>,
}

/// Which side of a connection sent last, and how many turns all connections have had.
struct Turns {
    all: Arc<AtomicU64>,
    is_client: AtomicBool,
}

impl Turns {
    fn client_spoke(&self) {
        if !self.is_client.swap(true, Ordering::Relaxed) {
            self.all.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn server_spoke(&self) {
        self.is_client.store(false, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Fault {
    mode: Mode,
    delay: Duration,
}

/// The listener and the connections that are open.
struct Line {
    acceptor: Option<JoinHandle<()>>,
    /// Cuts all connections; each holds a receiver until it has ended.
    cut: watch::Sender<bool>,
}

impl FaultProxy {
    /// Listens on a free port of 127.0.0.1 and passes everything on to `upstream`.
    ///
    /// # Panics
    ///
    /// If the port cannot be listened on.
    pub async fn start(upstream: SocketAddr) -> Self {
        let proxy = Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())),
            upstream,
            fault: watch::Sender::default(),
            line: Mutex::new(Line { acceptor: None, cut: watch::Sender::default() }),
            turns: Arc::default(),
            accepted: Arc::default(),
        };
        proxy.set(Mode::Pass).await;
        proxy
    }

    /// Where clients connect to. Stays the same in every mode.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Changes the mode, for every connection and every byte that has not been passed on yet.
    ///
    /// # Panics
    ///
    /// If the port cannot be listened on again after [`Mode::Refuse`].
    pub async fn set(&self, mode: Mode) {
        let mut line = self.line.lock().await;
        self.fault.send_modify(|fault| fault.mode = mode);
        if mode == Mode::Refuse {
            line.stop_accepting().await;
            line.cut_connections().await;
            return;
        }
        if mode == Mode::Close {
            line.cut_connections().await;
        }
        if line.acceptor.is_none() {
            let listener = must(TcpListener::bind(self.address).await.map_err(Into::into));
            let accepting = accept(
                listener,
                self.upstream,
                self.fault.clone(),
                line.cut.clone(),
                Arc::clone(&self.turns),
                Arc::clone(&self.accepted),
            );
            line.acceptor = Some(tokio::spawn(accepting));
        }
    }

    /// Delays each message by so much, in both directions. Zero: no delay.
    pub fn delay(&self, delay: Duration) {
        self.fault.send_modify(|fault| fault.delay = delay);
    }

    /// How often a client has spoken after its server had: the round trips of a protocol in which
    /// one side asks and the other answers.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// How many connections were accepted, also those that failed later.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Resets (RST) the open connections. New ones are treated as the mode says.
    pub async fn reset_connections(&self) {
        self.line.lock().await.cut_connections().await;
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        let line = self.line.get_mut();
        if let Some(acceptor) = line.acceptor.take() {
            acceptor.abort();
        }
        line.cut.send_replace(true);
    }
}

impl Line {
    async fn stop_accepting(&mut self) {
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.abort();
            // Cancelled, which is what was asked for; the listener is closed now.
            let _ = acceptor.await;
        }
    }

    /// Waits until every connection has dropped its receiver, which it does at its end.
    async fn cut_connections(&mut self) {
        self.cut.send_replace(true);
        self.cut.closed().await;
        self.cut.send_replace(false);
    }
}

async fn accept(
    listener: TcpListener,
    upstream: SocketAddr,
    fault: watch::Sender<Fault>,
    cut: watch::Sender<bool>,
    turns: Arc<AtomicU64>,
    accepted: Arc<AtomicU64>,
) {
    while let Ok((client, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::Relaxed);
        if fault.borrow().mode == Mode::Close {
            continue;
        }
        let turns = Turns { all: Arc::clone(&turns), is_client: AtomicBool::new(false) };
        tokio::spawn(connection(client, upstream, fault.subscribe(), cut.subscribe(), turns));
    }
}

/// One client, until either side ends it or it is cut.
async fn connection(
    mut client: TcpStream,
    upstream: SocketAddr,
    mut fault: watch::Receiver<Fault>,
    mut cut: watch::Receiver<bool>,
    turns: Turns,
) {
    let opened = tokio::select! {
        opened = open(upstream, &mut fault) => opened,
        _ = cut.wait_for(|cut| *cut) => Err(io::ErrorKind::ConnectionReset.into()),
    };
    let Ok(mut server) = opened else { return reset(client) };
    let relayed = tokio::select! {
        relayed = relay(&mut client, &mut server, &fault, &turns) => relayed,
        _ = cut.wait_for(|cut| *cut) => Err(io::ErrorKind::ConnectionReset.into()),
    };
    if relayed.is_err() {
        reset(client);
        reset(server);
    }
}

async fn open(upstream: SocketAddr, fault: &mut watch::Receiver<Fault>) -> io::Result<TcpStream> {
    until_not_stalled(fault).await?;
    TcpStream::connect(upstream).await
}

async fn relay(
    client: &mut TcpStream,
    server: &mut TcpStream,
    fault: &watch::Receiver<Fault>,
    turns: &Turns,
) -> io::Result<()> {
    // The proxy adds no delay of its own.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_reads, client_writes) = client.split();
    let (server_reads, server_writes) = server.split();
    tokio::try_join!(
        one_way(client_reads, server_writes, fault.clone(), Mode::DropRequests, || {
            turns.client_spoke();
        }),
        one_way(server_reads, client_writes, fault.clone(), Mode::DropReplies, || {
            turns.server_spoke();
        }),
    )?;
    Ok(())
}

/// Until one side ends its direction; then that direction is closed on the other side too.
async fn one_way(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut fault: watch::Receiver<Fault>,
    lost_in: Mode,
    spoke: impl Fn(),
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = from.read(&mut chunk).await?;
        if count > 0 {
            spoke();
        }
        let delay = fault.borrow().delay;
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let mode = until_not_stalled(&mut fault).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        if mode != lost_in {
            to.write_all(&chunk[..count]).await?;
        }
    }
}

/// Waits while the mode is [`Mode::Stall`].
async fn until_not_stalled(fault: &mut watch::Receiver<Fault>) -> io::Result<Mode> {
    match fault.wait_for(|fault| fault.mode != Mode::Stall).await {
        Ok(fault) => Ok(fault.mode),
        Err(_) => Err(io::ErrorKind::ConnectionReset.into()),
    }
}

/// Resets it, as a crash does, instead of closing it: the other side gets an error.
fn reset(stream: TcpStream) {
    // If it is closed already there is nothing to reset.
    let _ = stream.set_zero_linger();
}
