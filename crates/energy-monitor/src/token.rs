//! Who may read the sensors: everybody, or those who show the token of `--token-file`.
//!
//! Of the token only its SHA-256 is kept. What a client shows is hashed too and the hashes are
//! compared in constant time, so the time of an answer tells neither how much of a guess was right
//! nor how long the token is. It doesn't know by which protocol the client asks.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::secret_file;

/// Shorter ones can be guessed.
const SHORTEST: usize = 16;
/// More than any header of ours takes.
const LONGEST: u64 = 4_096;

/// The secret that clients have to show.
#[derive(Clone)]
pub struct Token {
    sha256: [u8; 32],
}

/// A token file that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It can't be read.
    #[error(
        "the token file {file} can't be read: {cause}; make one with `openssl rand -hex 32 > {file}; chmod 600 {file}`",
        file = file.display()
    )]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// What is in it is no token.
    #[error(
        "the token file {file} holds no token of at least {SHORTEST} printable ASCII characters without spaces: make one with `openssl rand -hex 32 > {file}; chmod 600 {file}`",
        file = file.display()
    )]
    NoToken {
        /// The file.
        file: PathBuf,
    },
}

impl Token {
    /// Reads a token file; white space around the token is left out.
    ///
    /// # Errors
    /// If it can't be read, or holds none that is long enough and fits into a header.
    pub fn read(file: &Path) -> Result<Self, TokenError> {
        let content = secret_file::read(file, LONGEST)
            .map_err(|cause| TokenError::Unreadable { file: file.to_owned(), cause })?;
        let token = content.trim_ascii();
        if token.len() < SHORTEST || !token.iter().all(u8::is_ascii_graphic) {
            return Err(TokenError::NoToken { file: file.to_owned() });
        }
        Ok(Self { sha256: Sha256::digest(token).into() })
    }

    fn is(&self, shown: &[u8]) -> bool {
        let shown: [u8; 32] = Sha256::digest(shown).into();
        self.sha256.ct_eq(&shown).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Who may read the sensors.
#[derive(Debug, Clone)]
pub enum Access {
    /// Everybody who reaches the monitor.
    Open,
    /// Those who show the token.
    Token(Token),
}

/// A client that may not read the sensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It showed no token.
    #[error(
        "this monitor asks for a token: send the one of its --token-file as `authorization: Bearer TOKEN` (ipw takes it from IPW_MONITOR_TOKEN)"
    )]
    NoToken,
    /// It showed another one.
    #[error(
        "this is not the token of this monitor's --token-file (ipw takes it from IPW_MONITOR_TOKEN)"
    )]
    WrongToken,
}

impl Access {
    /// Access as a configuration has it.
    ///
    /// # Errors
    /// If there is a token file that can't be used.
    pub fn from_file(token_file: Option<&Path>) -> Result<Self, TokenError> {
        Ok(match token_file {
            Some(file) => Self::Token(Token::read(file)?),
            None => Self::Open,
        })
    }

    /// Decides about a client by its `authorization` header.
    ///
    /// # Errors
    /// If it may not read the sensors.
    pub fn check(&self, authorization: Option<&[u8]>) -> Result<(), Refused> {
        let Self::Token(token) = self else { return Ok(()) };
        let shown = authorization.and_then(bearer).ok_or(Refused::NoToken)?;
        if token.is(shown) { Ok(()) } else { Err(Refused::WrongToken) }
    }
}

/// The token of `Bearer TOKEN`; the scheme's name is written in any case (RFC 9110, 11.1).
fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    const SECRET: &str = "0123456789abcdef-tr0ub4dor";

    fn file(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, content).unwrap();
        (directory, path)
    }

    fn access() -> Access {
        let (_directory, path) = file(format!(" {SECRET}\n").as_bytes());
        Access::from_file(Some(&path)).unwrap()
    }

    #[test]
    fn only_the_whole_token_opens() {
        let access = access();
        let check = |header: &str| access.check(Some(header.as_bytes()));
        assert_eq!(check(&format!("Bearer {SECRET}")), Ok(()));
        assert_eq!(check(&format!("bearer {SECRET}")), Ok(()));
        assert_eq!(check(&format!("Bearer {SECRET}x")), Err(Refused::WrongToken));
        assert_eq!(check(&format!("Bearer {}", &SECRET[1..])), Err(Refused::WrongToken));
        assert_eq!(check("Bearer "), Err(Refused::WrongToken));
        for none in ["", "Bearer", "Basic dXNlcjpwYXNz", SECRET] {
            assert_eq!(check(none), Err(Refused::NoToken), "{none}");
        }
        assert_eq!(access.check(None), Err(Refused::NoToken));
        assert_eq!(Access::Open.check(None), Ok(()));
    }

    #[test]
    fn what_is_no_token_is_refused_with_the_command_that_makes_one() {
        let long = vec![b'a'; 5_000];
        let bad: [&[u8]; 6] = [
            b"",
            b"short\n",
            b"two words of a passphrase",
            b"two\nlines-of-a-file\n",
            b"\xff\xfe0123456789abcdef",
            &long,
        ];
        for content in bad {
            let (_directory, path) = file(content);
            let error = Token::read(&path).unwrap_err().to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
            assert!(error.contains("openssl rand -hex 32"), "{error}");
            assert!(!error.contains("passphrase"), "{error}");
        }
        let error = Token::read(Path::new("/nonexistent/token")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/token"), "{error}");
    }

    #[test]
    fn the_token_is_in_no_debug_output_and_in_no_refusal() {
        let access = access();
        assert!(!format!("{access:?}").contains(SECRET));
        let refused = access.check(Some(b"Bearer guess-guess-guess")).unwrap_err();
        assert!(!refused.to_string().contains("guess"), "{refused}");
        assert!(refused.to_string().contains("IPW_MONITOR_TOKEN"), "{refused}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn no_header_but_the_right_one_opens_or_panics(header: Vec<u8>) {
            let wanted = format!("bearer {SECRET}");
            let is_it = header.trim_ascii_end().eq_ignore_ascii_case(wanted.as_bytes());
            prop_assert_eq!(access().check(Some(&header)).is_ok(), is_it);
        }
    }
}
