//! What keeps gRPC to those who may read the sensors: the token of each call, and TLS.

use std::sync::Arc;
use std::time::Duration;

use tonic::service::Interceptor;
use tonic::transport::{Identity, ServerTlsConfig};
use tonic::{Request, Status};

use crate::tls::Tls;
use crate::token::Access;

/// A client that doesn't finish its handshake holds a connection for so long.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Lets a call through if it shows the token, or if none is asked for.
#[derive(Debug, Clone)]
pub struct Guard(Arc<Access>);

impl Guard {
    /// A guard that decides by `access`.
    #[must_use]
    pub fn new(access: Arc<Access>) -> Self {
        Self(access)
    }
}

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let authorization = request.metadata().get("authorization").map(|value| value.as_bytes());
        match self.0.check(authorization) {
            Ok(()) => Ok(request),
            Err(refused) => Err(Status::unauthenticated(refused.to_string())),
        }
    }
}

/// TLS as tonic takes it.
#[must_use]
pub fn tls_config(tls: &Tls) -> ServerTlsConfig {
    // tonic takes the process's provider, and panics where several are compiled in and none is set.
    // An error means that one is set.
    let _ = rustls::crypto::ring::default_provider().install_default();
    ServerTlsConfig::new()
        .identity(Identity::from_pem(tls.certificate_pem(), tls.key_pem()))
        .timeout(HANDSHAKE)
}
