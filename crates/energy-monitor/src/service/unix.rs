//! Connections on a Unix socket.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::server::Connected;

/// Those who connect.
pub(super) fn incoming(listener: UnixListener) -> impl Stream<Item = io::Result<Connection>> {
    UnixListenerStream::new(listener).map(|stream| Connection::new(stream?.into_std()?))
}

/// A connection that waits for room only when there is none. tokio's own stream always listens for
/// it, and the kernel tells of it each time that the peer reads: a second wake-up for each reading
/// sent.
#[derive(Debug)]
pub(super) struct Connection {
    stream: AsyncFd<UnixStream>,
    /// The same socket again, while there is no room in it: one registration listens for one thing.
    room: Option<AsyncFd<UnixStream>>,
}

impl Connection {
    fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream: listen(stream, Interest::READABLE)?, room: None })
    }

    fn poll_sent(
        &mut self,
        cx: &mut Context<'_>,
        send: impl Fn(&mut &UnixStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            if let Some(room) = &self.room {
                ready!(room.poll_write_ready(cx))?.clear_ready();
            }
            match send(&mut self.stream.get_ref()) {
                Err(full) if full.kind() == io::ErrorKind::WouldBlock => {
                    if self.room.is_none() {
                        let again = self.stream.get_ref().try_clone()?;
                        self.room = Some(listen(again, Interest::WRITABLE)?);
                    }
                }
                sent => {
                    self.room = None;
                    return Poll::Ready(sent);
                }
            }
        }
    }
}

#[expect(unsafe_code, reason = "tokio has no safe way to listen for one thing only")]
fn listen(stream: UnixStream, interest: Interest) -> io::Result<AsyncFd<UnixStream>> {
    // SAFETY: a stream owns its descriptor, which stays the same one and open as long as it lives.
    Ok(unsafe { AsyncFd::register_with_interest(stream, interest) }?)
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.stream.poll_read_ready(cx))?;
            let into = buffer.initialize_unfilled();
            if let Ok(read) = ready.try_io(|stream| stream.get_ref().read(into)) {
                return Poll::Ready(read.map(|length| buffer.advance(length)));
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_sent(cx, |stream| stream.write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_sent(cx, |stream| stream.write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.get_ref().shutdown(Shutdown::Write))
    }
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn pair() -> (Connection, tokio::net::UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let theirs = tokio::net::UnixStream::from_std(theirs).unwrap();
        (Connection::new(ours).unwrap(), theirs)
    }

    /// More than a socket holds.
    fn much() -> Vec<u8> {
        (0..4_000_000_u32).map(|n| (n % 251) as u8).collect()
    }

    #[tokio::test]
    async fn what_is_sent_arrives_though_it_has_to_wait_for_room() {
        let (mut ours, mut theirs) = pair();
        let sending = tokio::spawn(async move {
            for part in much().chunks(3_000) {
                let (a, b) = part.split_at(part.len() / 3);
                let mut sent =
                    ours.write_vectored(&[IoSlice::new(a), IoSlice::new(b)]).await.unwrap();
                while sent < part.len() {
                    sent += ours.write(&part[sent..]).await.unwrap();
                }
            }
            ours.shutdown().await.unwrap();
            ours
        });
        // It fills up.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!sending.is_finished());
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).await.unwrap();
        assert!(received == much());
        assert!(sending.await.unwrap().room.is_none(), "there is room again");
    }

    #[tokio::test]
    async fn what_the_peer_sends_is_read_to_its_end() {
        let (mut ours, mut theirs) = pair();
        let sending = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            theirs.write_all(&much()).await.unwrap();
        });
        let mut received = Vec::new();
        ours.read_to_end(&mut received).await.unwrap();
        assert!(received == much());
        sending.await.unwrap();
    }

    #[tokio::test]
    async fn a_peer_that_is_gone_is_an_error() {
        let (mut ours, theirs) = pair();
        drop(theirs);
        let error = ours.write_all(&[0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_peer_that_goes_while_there_is_no_room_is_an_error() {
        let (mut ours, theirs) = pair();
        let leaving = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(theirs);
        });
        assert!(ours.write_all(&much()).await.is_err());
        leaving.await.unwrap();
    }
}
