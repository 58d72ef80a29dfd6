//! Whose word about the client's address counts.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use hyper::HeaderMap;

/// `--trusted-proxy`: peers whose `X-Forwarded-For` is believed. Addresses, networks (`10.0.0.0/8`), and `unix` for the peers of a
/// unix socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    unix: bool,
    networks: Vec<Network>,
}

/// Not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address, a network (10.0.0.0/8, fd00::/8) or `unix`")]
pub struct BadProxy(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u8,
}

impl FromStr for Network {
    type Err = BadProxy;

    fn from_str(text: &str) -> Result<Self, BadProxy> {
        let bad = || BadProxy(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= widest).ok_or_else(bad)?,
            None => widest,
        };
        Ok(Self { address, bits })
    }
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.bits);
                (net.to_bits() ^ address.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.bits);
                (net.to_bits() ^ address.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl TrustedProxies {
    /// From the flag's values.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, BadProxy> {
        let mut trusted = Self::default();
        for entry in entries {
            match entry.trim() {
                "unix" => trusted.unix = true,
                network => trusted.networks.push(network.parse()?),
            }
        }
        Ok(trusted)
    }

    /// The peer (`None`: of a unix socket) is one of them.
    pub(super) fn trusts(&self, peer: Option<IpAddr>) -> bool {
        match peer {
            None => self.unix,
            Some(peer) => self.networks.iter().any(|network| network.contains(peer.to_canonical())),
        }
    }

    /// The client's address: the right-most one that no trusted proxy has. Whatever is left of it could be the client's lie.
    pub(super) fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let mut client = peer;
        let lines = headers.get_all("x-forwarded-for");
        let mut hops = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        while self.trusts(client) {
            let Some(hop) = hops.next().and_then(hop) else { break };
            client = Some(hop);
        }
        client
    }
}

/// `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:443`
fn hop(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse::<IpAddr>().ok().or_else(bare).or_else(with_port).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: Option<&str>, lines: &[&'static str]) -> String {
        let trusted = TrustedProxies::parse(trusted.iter().copied()).unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        let client = trusted.client(peer.map(|peer| peer.parse().unwrap()), &headers);
        client.map_or_else(|| "unix".to_owned(), |client| client.to_string())
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        type Case = (&'static [&'static str], Option<&'static str>, &'static [&'static str], &'static str);
        let cases: [Case; 12] = [
            (&[], Some("10.0.0.1"), &["1.2.3.4"], "10.0.0.1"),
            (&["10.0.0.0/8"], Some("10.0.0.1"), &["1.2.3.4"], "1.2.3.4"),
            (&["10.0.0.0/8"], Some("11.0.0.1"), &["1.2.3.4"], "11.0.0.1"),
            (&["10.0.0.0/8"], Some("10.0.0.1"), &["6.6.6.6, 1.2.3.4, 10.9.9.9"], "1.2.3.4"),
            (&["10.0.0.0/8"], Some("10.0.0.1"), &["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
            (&["10.0.0.0/8"], Some("10.0.0.1"), &["6.6.6.6, garbage"], "10.0.0.1"),
            (&["10.0.0.0/8"], Some("10.0.0.1"), &[], "10.0.0.1"),
            (&["10.0.0.0/8"], Some("10.0.0.1"), &["[2001:db8::1]:99"], "2001:db8::1"),
            (&["unix"], None, &["1.2.3.4:5"], "1.2.3.4"),
            (&["10.0.0.0/8"], None, &["1.2.3.4"], "unix"),
            (&["::1", "127.0.0.1"], Some("::1"), &["::ffff:1.2.3.4"], "1.2.3.4"),
            (&["0.0.0.0/0"], Some("10.0.0.1"), &["1.2.3.4, 5.6.7.8"], "1.2.3.4"),
        ];
        for (trusted, peer, lines, expected) in cases {
            assert_eq!(client(trusted, peer, lines), expected, "{trusted:?} {peer:?} {lines:?}");
        }
    }

    #[test]
    fn bad_networks_are_refused() {
        for bad in ["10.0.0.0/33", "::/129", "example.com", "", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(TrustedProxies::parse([bad]).is_err(), "{bad}");
        }
    }
}
