//! Starts commands over HTTP, and streams what they print over WebSocket: `execution-server [PORT]`.
//!
//! It listens on the loopback alone, and asks for a token all the same, as any user and any web page of the machine can
//! reach it there. Whatever ends it, nothing that it has started is left.

mod access;
mod refusal;
mod routes;
mod stream;

use std::error::Error;
use std::io::{Write as _, stdout};
use std::net::Ipv4Addr;
use std::time::Duration;

use execution_engine::{ExecutionConfig, ExecutionEngine};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use access::Token;
use routes::Service;

/// How long those who watch have to take what is told of the end when the server stops.
const LAST_WORDS: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let token = Token::new();
    let engine = ExecutionEngine::new(ExecutionConfig {
        max_queued_executions: 100,
        ..ExecutionConfig::default()
    })?;
    let (watching, mut all_have_left) = mpsc::channel(1);
    let service = Service::new(engine.clone(), watching);
    let address = listener.local_addr()?;
    writeln!(stdout(), "http://{address} {}", token.as_str())?;

    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, routes::router(service, token))
        .with_graceful_shutdown(async { drop(stopped.await) });
    let server = tokio::spawn(server.into_future());
    asked_to_stop().await?;
    // What is asked for meanwhile is refused.
    engine.shutdown().await;
    drop(stop);
    let told = timeout(LAST_WORDS, async {
        server.await??;
        all_have_left.recv().await;
        Ok::<_, Box<dyn Error>>(())
    });
    // Who takes nothing is left behind.
    told.await.unwrap_or(Ok(()))
}

/// Resolves when somebody presses Ctrl-C, or asks the server to end in another way.
async fn asked_to_stop() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut asked = signal(SignalKind::terminate())?;
        tokio::select! {
            pressed = tokio::signal::ctrl_c() => pressed,
            _ = asked.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
