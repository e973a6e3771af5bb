//! Why there is no telemetry, with what to do about it. A token is in none of these texts.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use energy_proto::API;

/// Why there is no telemetry.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No connection.
    #[error("can't reach the energy monitor at {place}: {reason}")]
    Unreachable {
        /// Where it should be.
        place: String,
        /// What went wrong.
        reason: String,
    },
    /// Its certificate is signed by nobody that this host trusts, or is another host's.
    #[error(
        "the certificate of the energy monitor at {place} isn't trusted ({reason}): if a CA of your \
         own signed it, name that CA's certificate with SSL_CERT_FILE=ca.pem, and give the host name \
         that the certificate has"
    )]
    Untrusted {
        /// Where it is.
        place: String,
        /// What TLS says.
        reason: String,
    },
    /// It wants a token, or another one.
    #[error(
        "the energy monitor refuses this client: put the token of its --token-file into \
         IPW_MONITOR_TOKEN (environment or .env)"
    )]
    Unauthorized,
    /// The token would go over the network in the clear.
    #[error(
        "the token of IPW_MONITOR_TOKEN isn't sent to {url} in the clear: use https:// (energy-monitor \
         --tls-cert --tls-key), or an ssh tunnel to the loopback"
    )]
    TokenInTheClear {
        /// Where it would go.
        url: String,
    },
    /// No header can hold the token.
    #[error("IPW_MONITOR_TOKEN holds characters that can't be sent: use printable ASCII only")]
    UnusableToken,
    /// It is gone for good.
    #[error("the energy monitor keeps failing: {0}")]
    KeepsFailing(String),
    /// It is connected and says nothing.
    #[error("nothing for {:.1} s", .0.as_secs_f64())]
    Silent(Duration),
    /// It answered with an error.
    #[error("the energy monitor answered: {0}")]
    Refused(String),
    /// Something answers, but has none of a monitor's calls.
    #[error("what answers there is no energy monitor ({0}): look at the address of --monitor")]
    NoMonitor(String),
    /// It speaks another contract.
    #[error(
        "the energy monitor speaks `{0}`, this ipw speaks `{API}`: use the energy-monitor of the same version"
    )]
    OtherApi(String),
    /// Two monitors show one device.
    #[error(
        "{} and {} both show {device}, whose energy would be counted twice: leave one of them out, or \
         start one with other --sources",
        .places[0], .places[1]
    )]
    SameDevice {
        /// Its name.
        device: String,
        /// The two.
        places: [String; 2],
    },
    /// One of several shows nothing at all.
    #[error(
        "the energy monitor at {place} shows no sensor: leave it out, or look there at what \
         `energy-monitor --describe` says"
    )]
    NoSensor {
        /// Which one.
        place: String,
    },
    /// What is wrong with one of several.
    #[error("{place}: {cause}")]
    OneOfSeveral {
        /// Which one.
        place: String,
        /// What is wrong.
        cause: Box<SessionError>,
    },
    /// No monitor was named.
    #[error("no energy monitor was named")]
    Unnamed,
}

impl SessionError {
    /// Whether trying again later is no use.
    pub(super) fn is_final(&self) -> bool {
        matches!(
            self,
            Self::KeepsFailing(_)
                | Self::OtherApi(_)
                | Self::Unauthorized
                | Self::TokenInTheClear { .. }
                | Self::UnusableToken
        )
    }

    /// The same with the monitor's place, if it doesn't say that already.
    pub(super) fn at(self, place: String) -> Self {
        match self {
            Self::Unreachable { .. } | Self::Untrusted { .. } | Self::TokenInTheClear { .. } => {
                self
            }
            cause => Self::OneOfSeveral { place, cause: Box::new(cause) },
        }
    }

    /// No connection to a place, for this cause.
    pub(super) fn unconnected(place: String, error: &tonic::transport::Error) -> Self {
        let reason = deepest(error);
        if certificate_refused(error) {
            Self::Untrusted { place, reason }
        } else {
            Self::Unreachable { place, reason }
        }
    }
}

impl From<tonic::Status> for SessionError {
    fn from(status: tonic::Status) -> Self {
        match status.code() {
            tonic::Code::Unauthenticated | tonic::Code::PermissionDenied => Self::Unauthorized,
            _ => Self::Refused(status.message().to_owned()),
        }
    }
}

/// The chain of causes. An `io::Error` hides the one it wraps from `source`.
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
}

/// The innermost cause: tonic's outer text is "transport error".
fn deepest(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

fn certificate_refused(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|cause| {
        matches!(cause.downcast_ref::<rustls::Error>(), Some(rustls::Error::InvalidCertificate(_)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_certificate_is_found_under_an_io_error() {
        let refused = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let wrapped = io::Error::new(io::ErrorKind::InvalidData, refused);
        assert!(certificate_refused(&wrapped));
        assert!(deepest(&wrapped).contains("UnknownIssuer"), "{}", deepest(&wrapped));
        assert!(!certificate_refused(&io::Error::other("down")));
    }

    #[test]
    fn an_error_of_one_of_several_monitors_names_it_once() {
        let place = "https://a:1".to_owned();
        let refused = SessionError::Unauthorized.at(place.clone()).to_string();
        assert!(refused.starts_with("https://a:1: the energy monitor refuses"), "{refused}");
        let down = SessionError::Unreachable { place: place.clone(), reason: "down".to_owned() };
        assert_eq!(down.at(place).to_string().matches("https://a:1").count(), 1);
    }

    #[test]
    fn both_refusals_of_a_client_name_the_variable() {
        for status in [tonic::Status::unauthenticated("no"), tonic::Status::permission_denied("no")]
        {
            let error = SessionError::from(status);
            assert!(error.is_final());
            assert!(error.to_string().contains("IPW_MONITOR_TOKEN"), "{error}");
        }
        assert!(!SessionError::from(tonic::Status::unavailable("later")).is_final());
    }
}
