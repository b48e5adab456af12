//! Clients that do not let up: new connections at a steady rate, and connections that are held.
//!
//! Each owns a thread on its host and what it has measured so far; both end when the value is dropped.
//! Deliberately no judgement of what may be lost.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Host;
use super::host::runtime;

/// Longest for a connection and its answer: shorter than the second after which a kernel sends a SYN again, so that
/// a lost one is seen and not mended.
const PATIENCE: Duration = Duration::from_millis(900);
/// What is asked so long after an event still belongs to it.
const AFTERWARDS: Duration = Duration::from_millis(500);
/// Between two lines of a held connection.
const SAYS: Duration = Duration::from_millis(100);
/// A held connection without an answer for so long is gone: three repetitions of a segment.
const HELD_PATIENCE: Duration = Duration::from_secs(3);

/// How one connection went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Answered,
    /// It never came about: nobody answered, or it was refused.
    Lost,
    /// It came about, and was reset or fell silent before its answer.
    Cut,
}

/// One connection.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// When it was begun.
    pub at: Instant,
    /// Until its answer, or until it was given up.
    pub took: Duration,
    /// How it went.
    pub outcome: Outcome,
}

/// What came of many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// All of them.
    pub asked: usize,
    /// See [`Outcome::Lost`].
    pub lost: usize,
    /// See [`Outcome::Cut`].
    pub cut: usize,
    /// The longest of those that were answered.
    pub slowest: Duration,
    /// The longest time in which no connection that was answered had begun.
    pub silence: Duration,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} new connections: {} lost, {} reset, slowest {} ms, longest silence {} ms",
            self.asked,
            self.lost,
            self.cut,
            self.slowest.as_millis(),
            self.silence.as_millis()
        )
    }
}

/// New connections, one after the other at a steady rate, each asks for `/` and reads the answer.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<Asked>>>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// Begins; `rate` connections a second.
    pub fn start(host: &Host, to: SocketAddr, rate: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (stopped, done) = (Arc::clone(&stop), Arc::clone(&asked));
        let run = move || runtime().block_on(ask_on(to, rate, &stopped, &done));
        Self {
            stop,
            asked,
            thread: Some(host.thread(run)),
        }
    }

    /// What came of those that were begun at a moment or later and until a little after this call; those under
    /// way are waited for.
    pub fn since(&self, at: Instant) -> Tally {
        super::pause(AFTERWARDS + PATIENCE);
        self.so_far(at)
    }

    /// Ends it and says what came of all.
    pub fn finish(mut self) -> Tally {
        self.end();
        tally(&self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn so_far(&self, at: Instant) -> Tally {
        let until = Instant::now() - PATIENCE;
        let all = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = all.iter().filter(|it| it.at >= at && it.at <= until);
        tally(&mine.copied().collect::<Vec<_>>())
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in it has been printed.
            let _ = thread.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

fn tally(asked: &[Asked]) -> Tally {
    let mut asked = asked.to_vec();
    asked.sort_by_key(|it| it.at);
    let count = |outcome| asked.iter().filter(|it| it.outcome == outcome).count();
    let answered = || asked.iter().filter(|it| it.outcome == Outcome::Answered);
    let edges = [asked.first(), asked.last()];
    let mut begun: Vec<Instant> = answered()
        .chain(edges.into_iter().flatten())
        .map(|it| it.at)
        .collect();
    begun.sort();
    let gaps = begun.windows(2).map(|pair| pair[1] - pair[0]);
    Tally {
        asked: asked.len(),
        lost: count(Outcome::Lost),
        cut: count(Outcome::Cut),
        slowest: answered().map(|it| it.took).max().unwrap_or_default(),
        silence: gaps.max().unwrap_or_default(),
    }
}

async fn ask_on(to: SocketAddr, rate: u32, stop: &AtomicBool, asked: &Arc<Mutex<Vec<Asked>>>) {
    let mut tick = interval(Duration::from_secs(1) / rate);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut under_way = JoinSet::new();
    while !stop.load(Ordering::Relaxed) {
        tick.tick().await;
        while under_way.try_join_next().is_some() {}
        let asked = Arc::clone(asked);
        under_way.spawn(async move {
            let it = ask(to).await;
            asked
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(it);
        });
    }
    while under_way.join_next().await.is_some() {}
}

async fn ask(to: SocketAddr) -> Asked {
    let at = Instant::now();
    let mut connected = false;
    let whole = async {
        let mut stream = TcpStream::connect(to).await?;
        connected = true;
        stream
            .write_all(b"GET / HTTP/1.0\r\nConnection: close\r\n\r\n")
            .await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        io::Result::Ok(answer.starts_with(b"HTTP/1.0 200 "))
    };
    let outcome = match timeout(PATIENCE, whole).await {
        Ok(Ok(true)) => Outcome::Answered,
        _ if connected => Outcome::Cut,
        // It was there, and reset before this task was told so: the answer to a SYN would be a refusal.
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => Outcome::Cut,
        _ => Outcome::Lost,
    };
    Asked {
        at,
        took: at.elapsed(),
        outcome,
    }
}

/// Connections that stay: each says a line again and again and hears it back (see [`super::Lines`]).
#[derive(Debug)]
pub struct Held {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<usize>>,
    count: usize,
}

impl Held {
    /// Opens `count` connections.
    ///
    /// # Errors
    /// One is not accepted.
    pub fn start(host: &Host, to: SocketAddr, count: usize) -> io::Result<Self> {
        let streams: io::Result<Vec<std::net::TcpStream>> = host.run(|| {
            let open = |_| std::net::TcpStream::connect_timeout(&to, HELD_PATIENCE);
            (0..count).map(open).collect()
        });
        let streams = streams?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || runtime().block_on(hold(streams, &stopped)));
        Ok(Self {
            stop,
            thread: Some(thread),
            count,
        })
    }

    /// Ends them; how many of how many were reset or fell silent.
    pub fn finish(mut self) -> (usize, usize) {
        (self.end(), self.count)
    }

    fn end(&mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        // A panic in it has been printed; then all count as gone.
        let gone = self.thread.take().map(JoinHandle::join);
        gone.map_or(0, |gone| gone.unwrap_or(self.count))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.end();
    }
}

async fn hold(streams: Vec<std::net::TcpStream>, stop: &AtomicBool) -> usize {
    let talks = streams.into_iter().map(|stream| async {
        let talked = async {
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream)?;
            let mut heard = [0; 6];
            while !stop.load(Ordering::Relaxed) {
                stream.write_all(b"still\n").await?;
                timeout(HELD_PATIENCE, stream.read_exact(&mut heard)).await??;
                tokio::time::sleep(SAYS).await;
            }
            io::Result::Ok(())
        };
        usize::from(talked.await.is_err())
    });
    futures::future::join_all(talks).await.into_iter().sum()
}

#[cfg(test)]
mod tests;
