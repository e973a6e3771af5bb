//! Where the monitor can be reached: a TCP port or a Unix socket, and one clear error if neither.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, umask};
use tokio::net::{TcpListener, UnixListener};

use crate::config::Endpoint;

/// An endpoint that can't be served on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else is there.
    #[error(
        "another program already listens on {address}: stop it, or serve somewhere else with {flag}"
    )]
    InUse {
        /// Where.
        address: String,
        /// The flag that moves the monitor.
        flag: &'static str,
    },
    /// A file that isn't a socket is in the way.
    #[error("{0} exists and is not a socket: name another path with --uds")]
    NotASocket(PathBuf),
    /// Anything else.
    #[error("cannot listen on {address}: {cause}; serve somewhere else with {flag}")]
    Refused {
        /// Where.
        address: String,
        /// The flag that moves the monitor.
        flag: &'static str,
        /// What the system says; it is in the message, and so no `source`.
        cause: io::Error,
    },
}

/// A bound endpoint.
#[derive(Debug)]
pub enum Listener {
    /// On TCP.
    Tcp(TcpListener),
    /// On a Unix socket.
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix socket; removed when the monitor ends.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Binds an endpoint.
    ///
    /// # Errors
    /// If it is in use, in the way or not allowed.
    pub async fn bind(endpoint: &Endpoint) -> Result<Self, ListenError> {
        match endpoint {
            Endpoint::Tcp(address) => TcpListener::bind(address)
                .await
                .map(Self::Tcp)
                .map_err(|cause| explained(address.to_string(), "--port", cause)),
            Endpoint::Unix(path) => {
                remove_abandoned(path)?;
                bind_for_group(path)
                    .map(|listener| Self::Unix(listener, SocketFile(path.clone())))
                    .map_err(|cause| explained(path.display().to_string(), "--uds", cause))
            }
        }
    }

    /// The address for the `listening` line.
    ///
    /// # Errors
    /// If the system doesn't tell the port it chose.
    pub fn address(&self) -> io::Result<String> {
        match self {
            Self::Tcp(listener) => Ok(listener.local_addr()?.to_string()),
            Self::Unix(_, SocketFile(path)) => Ok(format!("unix:{}", path.display())),
        }
    }
}

/// Binds where metrics are served.
///
/// # Errors
/// If the address is in use or not allowed.
pub async fn bind_metrics(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|cause| explained(address.to_string(), "--metrics-port", cause))
}

/// Makes a socket that its owner and its group may connect to, and nobody else, from the instant
/// that it is there: with a chmod afterwards there would be a time before.
fn bind_for_group(path: &Path) -> io::Result<UnixListener> {
    // It is the process's mask. Nothing else makes files when the monitor binds its endpoint.
    let before = umask(Mode::from_bits_truncate(0o117));
    let bound = UnixListener::bind(path);
    umask(before);
    bound
}

fn explained(address: String, flag: &'static str, cause: io::Error) -> ListenError {
    match cause.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { address, flag },
        _ => ListenError::Refused { address, flag, cause },
    }
}

/// Removes a socket that a monitor which was killed left behind: nobody answers on it.
fn remove_abandoned(path: &Path) -> Result<(), ListenError> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(ListenError::NotASocket(path.to_owned()));
    }
    let answer = std::os::unix::net::UnixStream::connect(path);
    if answer.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
        // If this fails, so will the bind, with its own reason.
        let _ = fs::remove_file(path);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_says_so_and_names_the_flag() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = Listener::bind(&Endpoint::Tcp(address)).await.unwrap_err().to_string();
        assert!(error.contains(&address.to_string()) && error.contains("--port"), "{error}");
    }

    #[tokio::test]
    async fn an_abandoned_socket_is_taken_over_and_a_living_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let endpoint = Endpoint::Unix(path.clone());
        let living = Listener::bind(&endpoint).await.unwrap();
        assert_eq!(living.address().unwrap(), format!("unix:{}", path.display()));
        let error = Listener::bind(&endpoint).await.unwrap_err();
        assert!(matches!(error, ListenError::InUse { .. }), "{error}");
        drop(living);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_file_in_the_way_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("precious");
        fs::write(&path, "text").unwrap();
        let error = Listener::bind(&Endpoint::Unix(path.clone())).await.unwrap_err();
        assert!(matches!(error, ListenError::NotASocket(_)), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    }

    #[tokio::test]
    async fn what_the_system_says_is_said_once() {
        let endpoint = Endpoint::Unix("/nonexistent/directory/socket".into());
        let error = anyhow::Error::new(Listener::bind(&endpoint).await.unwrap_err());
        let text = format!("{error:#}");
        assert_eq!(text.matches("No such file").count(), 1, "{text}");
    }
}
