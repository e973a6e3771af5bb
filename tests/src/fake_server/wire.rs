//! HTTP/1.1 on a socket: requests in, heads and chunks out. Each chunk is one write, as the real
//! servers do it.

use std::io::{self, Read, Write};
use std::net::TcpStream;

/// Largest request taken.
const MAX_REQUEST_BYTES: usize = 64 << 20;

/// A whole request.
#[derive(Debug)]
pub(super) struct Request {
    /// Method and path, with a space between.
    pub(super) target: String,
    /// The value of `Authorization`.
    pub(super) authorization: Option<String>,
    pub(super) body: Vec<u8>,
}

/// Reads a request; `None`: the peer closed, or was silent for the read timeout.
pub(super) fn read_request(
    stream: &mut TcpStream,
    buffered: &mut Vec<u8>,
) -> io::Result<Option<Request>> {
    loop {
        if let Some((request, length)) = parse(buffered)? {
            buffered.drain(..length);
            return Ok(Some(request));
        }
        let mut part = [0_u8; 16 << 10];
        match stream.read(&mut part) {
            Ok(0) => return Ok(None),
            Ok(count) => buffered.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        if buffered.len() > MAX_REQUEST_BYTES {
            return Err(invalid("a request too large"));
        }
    }
}

/// The request at the start of `bytes` and its length, once it is whole.
fn parse(bytes: &[u8]) -> io::Result<Option<(Request, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    let status = head.parse(bytes).map_err(|error| invalid(&error.to_string()))?;
    let httparse::Status::Complete(body_at) = status else { return Ok(None) };
    let header = |name: &str| {
        let header = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(header.value).into_owned())
    };
    let length = match header("content-length") {
        Some(length) => length.parse().map_err(|_| invalid("a length that is no number"))?,
        None => 0_usize,
    };
    let Some(body) = bytes.get(body_at..).and_then(|rest| rest.get(..length)) else {
        return Ok(None);
    };
    let path = origin_form(head.path.unwrap_or_default());
    let target = format!("{} {path}", head.method.unwrap_or_default());
    let request = Request { target, authorization: header("authorization"), body: body.to_vec() };
    Ok(Some((request, body_at + length)))
}

/// Writes one chunk of a chunked body.
pub(super) fn write_chunk(stream: &mut TcpStream, data: &[u8]) -> io::Result<()> {
    let mut chunk = format!("{:x}\r\n", data.len()).into_bytes();
    chunk.extend_from_slice(data);
    chunk.extend_from_slice(b"\r\n");
    stream.write_all(&chunk)
}

/// Ends a chunked body.
pub(super) fn write_last_chunk(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"0\r\n\r\n")
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}

/// The path of a target. A proxy's client gives the whole URL, and every server has to take that, too
/// (RFC 9112, section 3.2.2): so the fake can stand in for a server on another host.
fn origin_form(target: &str) -> &str {
    let Some(rest) = target.strip_prefix("http://") else { return target };
    rest.find('/').map_or("/", |path| &rest[path..])
}
