//! Reads frame headers as they come off the socket, before anything is buffered for them.
//!
//! tungstenite checks most of this too, but only when a frame is complete, and it never ends a message of empty fragments. Here
//! a bad header is refused at its last byte, so that no violation costs memory, and it is always known whether what was
//! received so far ends with a whole message.
//!
//! Knows nothing of payloads: UTF-8, close codes and unmasking are tungstenite's.

use crate::protocol::codes::CloseCode;

/// The bytes from `at` on must not be looked at: they begin with a frame that breaks the protocol or a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Violation {
    /// Offset of the frame's first byte in the bytes given; 0 for a frame that began in earlier ones.
    pub(super) at: usize,
    /// 1002 or 1009.
    pub(super) code: CloseCode,
}

/// State over the stream of bytes of one peer.
#[derive(Debug)]
pub(super) struct Scanner {
    /// The header that is being read; 2 + 8 + 4 bytes at most.
    header: [u8; 14],
    header_len: u8,
    /// Payload bytes of the current frame that are still to come.
    payload: u64,
    /// Bytes and frames of the message that is being put together.
    message: Option<Partial>,
    /// The current frame is a control frame.
    control: bool,
    /// Bytes that have come of the message that is being put together.
    held: u64,
    max_message: u64,
    max_fragments: u32,
    frames: u64,
}

#[derive(Debug, Clone, Copy)]
struct Partial {
    bytes: u64,
    fragments: u32,
}

/// The fields of a complete header.
struct Header {
    fin: bool,
    reserved: bool,
    opcode: u8,
    masked: bool,
    len: u64,
}

impl Scanner {
    pub(super) fn new(max_message: usize, max_fragments: u32) -> Self {
        Self {
            header: [0; 14],
            header_len: 0,
            payload: 0,
            message: None,
            control: false,
            held: 0,
            max_message: max_message as u64,
            max_fragments,
            frames: 0,
        }
    }

    /// Frames whose header was complete.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// All that came so far are whole messages.
    pub(super) fn at_rest(&self) -> bool {
        self.header_len == 0 && self.payload == 0 && self.message.is_none()
    }

    /// Bytes that have come of a message that is not complete.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// Looks at the next bytes of the stream. After a violation the scanner is of no further use.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        let mut pos = 0;
        while pos < bytes.len() {
            if self.payload > 0 {
                let skip = usize::try_from(self.payload).unwrap_or(usize::MAX).min(bytes.len() - pos);
                self.payload -= skip as u64;
                pos += skip;
                self.hold(skip as u64);
                continue;
            }
            let start = pos.saturating_sub(usize::from(self.header_len));
            self.header[usize::from(self.header_len)] = bytes[pos];
            self.header_len += 1;
            pos += 1;
            if let Some(header) = parse(&self.header[..usize::from(self.header_len)]) {
                self.header_len = 0;
                self.frames += 1;
                self.frame(&header).map_err(|code| Violation { at: start, code })?;
                self.payload = header.len;
                self.hold(0);
            }
        }
        Ok(())
    }

    /// So many bytes of the current frame have come.
    fn hold(&mut self, bytes: u64) {
        if !self.control {
            let complete = self.payload == 0 && self.message.is_none();
            self.held = if complete { 0 } else { self.held.saturating_add(bytes) };
        }
    }

    /// RFC 6455, section 5: what a client may send, given what it has sent.
    fn frame(&mut self, header: &Header) -> Result<(), CloseCode> {
        if header.reserved || !header.masked {
            return Err(CloseCode::Protocol);
        }
        self.control = header.opcode >= 0x8;
        match header.opcode {
            0x8..=0xA if header.fin && header.len <= 125 => return Ok(()),
            0x1 | 0x2 if self.message.is_none() => {}
            0x0 if self.message.is_some() => {}
            _ => return Err(CloseCode::Protocol),
        }
        let so_far = self.message.unwrap_or(Partial { bytes: 0, fragments: 0 });
        let bytes = so_far.bytes.saturating_add(header.len);
        if bytes > self.max_message || so_far.fragments >= self.max_fragments {
            return Err(CloseCode::TooBig);
        }
        self.message = (!header.fin).then_some(Partial { bytes, fragments: so_far.fragments + 1 });
        Ok(())
    }
}

/// The header, once all of its bytes are there.
fn parse(bytes: &[u8]) -> Option<Header> {
    let (&[first, second], rest) = bytes.split_first_chunk::<2>()?;
    let masked = second & 0x80 != 0;
    let (len, rest) = match second & 0x7F {
        126 => {
            rest.split_first_chunk::<2>().map(|(len, rest)| (u64::from(u16::from_be_bytes(*len)), rest))?
        }
        127 => rest.split_first_chunk::<8>().map(|(len, rest)| (u64::from_be_bytes(*len), rest))?,
        len => (u64::from(len), rest),
    };
    if masked && rest.len() < 4 {
        return None;
    }
    Some(Header { fin: first & 0x80 != 0, reserved: first & 0x70 != 0, opcode: first & 0x0F, masked, len })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A masked frame (mask 0) with `len` zero bytes.
    fn frame(first: u8, len: usize) -> Vec<u8> {
        let mut out = vec![first];
        match len {
            0..=125 => out.push(0x80 | u8::try_from(len).unwrap()),
            126..=0xFFFF => {
                out.push(0xFE);
                out.extend(u16::try_from(len).unwrap().to_be_bytes());
            }
            _ => {
                out.push(0xFF);
                out.extend((len as u64).to_be_bytes());
            }
        }
        out.extend([0; 4]);
        out.resize(out.len() + len, 0);
        out
    }

    fn verdict(frames: &[Vec<u8>]) -> Result<(), Violation> {
        Scanner::new(100_000, 4).scan(&frames.concat())
    }

    #[test]
    fn good_streams_pass() {
        let mut scanner = Scanner::new(100_000, 4);
        for (first, len, rest) in [
            (0x81, 5, true),
            (0x82, 70_000, true),
            (0x01, 300, false),
            (0x89, 125, false),
            (0x00, 0, false),
            (0x80, 7, true),
            (0x88, 2, true),
        ] {
            scanner.scan(&frame(first, len)).unwrap();
            assert_eq!(scanner.at_rest(), rest, "{first:x}");
            assert_eq!(scanner.held(), if rest { 0 } else { 300 }, "{first:x}");
        }
        assert_eq!(scanner.frames(), 7);
        let half = frame(0x82, 70_000);
        scanner.scan(&half[..30_014]).unwrap();
        assert_eq!(scanner.held(), 30_000);
        scanner.scan(&half[30_014..]).unwrap();
        assert_eq!(scanner.held(), 0);
    }

    #[test]
    fn each_violation_has_its_code_and_place() {
        let good = frame(0x81, 5);
        let mut unmasked = frame(0x81, 5);
        unmasked[1] &= 0x7F;
        let mut huge = vec![0x82, 0xFF];
        huge.extend((1_u64 << 63).to_be_bytes());
        huge.extend([0; 4]);
        let protocol = [
            frame(0xC1, 0),
            frame(0xA1, 0),
            frame(0x91, 0),
            frame(0x83, 0),
            frame(0x8B, 0),
            frame(0x09, 0),
            frame(0x89, 126),
            frame(0x80, 1),
            unmasked,
        ];
        for bad in protocol {
            let got = verdict(&[good.clone(), bad.clone()]);
            assert_eq!(got, Err(Violation { at: good.len(), code: CloseCode::Protocol }), "{bad:x?}");
        }
        for bad in [huge, frame(0x82, 100_001)] {
            let got = verdict(&[good.clone(), bad]);
            assert_eq!(got, Err(Violation { at: good.len(), code: CloseCode::TooBig }));
        }
        assert_eq!(verdict(&[frame(0x01, 1), frame(0x81, 1)]).unwrap_err().code, CloseCode::Protocol);
        let endless = vec![frame(0x01, 0), frame(0, 0), frame(0, 0), frame(0, 0), frame(0, 0)];
        assert_eq!(verdict(&endless).unwrap_err().code, CloseCode::TooBig);
        let large = vec![frame(0x01, 60_000), frame(0x80, 40_001)];
        assert_eq!(verdict(&large).unwrap_err().code, CloseCode::TooBig);
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_verdict(bytes in prop::collection::vec(any::<u8>(), 0..400),
                                              cuts in prop::collection::vec(1..9_usize, 0..400)) {
            let mut whole = Scanner::new(300, 4);
            let expected = whole.scan(&bytes);
            let (mut scanner, mut pos, mut cuts) = (Scanner::new(300, 4), 0, cuts.into_iter());
            let got = loop {
                let end = (pos + cuts.next().unwrap_or(bytes.len())).min(bytes.len());
                if let Err(violation) = scanner.scan(&bytes[pos..end]) {
                    break Err(violation.code);
                }
                if end == bytes.len() {
                    break Ok(());
                }
                pos = end;
            };
            prop_assert_eq!(got, expected.map_err(|violation| violation.code));
            if expected.is_ok() {
                prop_assert_eq!(scanner.at_rest(), whole.at_rest());
            }
        }
    }
}
