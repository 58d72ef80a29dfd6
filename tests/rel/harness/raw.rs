//! A peer that says whatever it is told to, byte by byte.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::Gateway;

/// A WebSocket frame as a client sends it, with a mask of zeros.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | u8::try_from(len).unwrap()),
        len @ 126..=0xFFFF => {
            out.push(0xFE);
            out.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            out.push(0xFF);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend(payload);
    out
}

/// A socket after a good handshake.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    /// `Err`: what the server said instead.
    pub(crate) fn upgraded(gateway: &Gateway, more: &str) -> Result<Self, String> {
        let mut socket = gateway.socket();
        let head = format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n",
            gateway.address
        );
        let _ = socket.write_all(head.as_bytes());
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n\r\n") {
            match socket.read(&mut byte) {
                Ok(1) => answer.push(byte[0]),
                _ => break,
            }
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if answer.starts_with("HTTP/1.1 101 ") { Ok(Self(socket)) } else { Err(answer) }
    }

    /// What a server that has closed already does not take is no error: what it said shows when it is read.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    /// The next frame; `None` at the end of the stream (or a reset).
    pub(crate) fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let [first, len] = self.bytes()?;
        let len = match len {
            126 => u16::from_be_bytes(self.bytes()?).into(),
            127 => u64::from_be_bytes(self.bytes()?),
            len => len.into(),
        };
        let mut payload = vec![0; usize::try_from(len).unwrap()];
        self.exact(&mut payload)?;
        Some((first, payload))
    }

    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.exact(&mut bytes)?;
        Some(bytes)
    }

    fn exact(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self.0.read_exact(bytes) {
            Ok(()) => Some(()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("the server says nothing"),
            Err(_) => None,
        }
    }

    /// Reads to the end of the stream, which must come without anything more being said; gives the code of the close frame.
    pub(crate) fn close_code(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some((first, payload)) = self.next() {
            assert_eq!(code, None, "something came after the close frame");
            if first == 0x88 {
                code = Some(payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code)));
            }
        }
        code
    }
}
