//! Hosts and origins: whose pages may talk to this server.
//!
//! A browser sends `Origin` with every WebSocket handshake, and a page cannot forge it; other clients need not send one. So an
//! absent Origin is let in, the server's own is let in, and all others only by `--allow-origin`. A page of a name that was
//! re-bound to 127.0.0.1 has the *same* host as the request, so without tokens a server on loopback also insists on a `Host` that
//! means this machine.

use std::net::{IpAddr, Ipv6Addr};

/// `--allow-origin`: exact origins (`https://app.example.com`), or `*` for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedOrigins {
    any: bool,
    exact: Vec<Origin>,
}

/// Not an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an origin (scheme://host or scheme://host:port, without a path) or `*`")]
pub struct BadOrigin(String);

/// Scheme, host and port of an origin, in a comparable form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: String,
    host: Host,
    port: Option<u16>,
}

/// A host name in lower case, or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Name(String),
    Address(IpAddr),
}

impl Host {
    fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost",
            Self::Address(address) => address.to_canonical().is_loopback(),
        }
    }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`.
fn authority(text: &str) -> Option<(Host, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
        (Host::Address(IpAddr::V6(address)), port)
    } else {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        // A final dot names the same host.
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if name.is_empty() || name.len() > 253 || !name.bytes().all(legal) {
            return None;
        }
        let host = name.parse().map_or(Host::Name(name), |address| Host::Address(IpAddr::V4(address)));
        (host, port)
    };
    let port = match port {
        None => None,
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse().ok()?),
        Some(_) => return None,
    };
    Some((host, port))
}

impl Origin {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if scheme.is_empty() || !scheme.bytes().all(legal) {
            return None;
        }
        let (host, port) = authority(rest)?;
        let port = port.or(default_port(&scheme));
        Some(Self { scheme, host, port })
    }

    /// The request went to the very host and port that the page came from. Which scheme the browser used is not known behind a
    /// proxy, so a `Host` without port has the default one of the Origin's scheme.
    fn same_host(&self, host: &str) -> bool {
        let Some((host, port)) = authority(host) else { return false };
        let web = matches!(self.scheme.as_str(), "http" | "https");
        web && self.host == host && self.port == port.or(default_port(&self.scheme))
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

impl AllowedOrigins {
    /// From the flag's values.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, BadOrigin> {
        let mut allowed = Self::default();
        for entry in entries {
            let entry = entry.trim();
            if entry == "*" {
                allowed.any = true;
                continue;
            }
            let origin = Origin::parse(entry.strip_suffix('/').unwrap_or(entry));
            allowed.exact.push(origin.ok_or_else(|| BadOrigin(entry.to_owned()))?);
        }
        Ok(allowed)
    }

    /// A page of this origin may talk to a server that it addressed as `host`.
    pub(super) fn allows(&self, origin: &str, host: Option<&str>) -> bool {
        if self.any {
            return true;
        }
        // `null` has no scheme, and is not an origin that anybody could be asked about.
        let Some(origin) = Origin::parse(origin) else { return false };
        self.exact.contains(&origin) || host.is_some_and(|host| origin.same_host(host))
    }

    /// This `Host` means this machine, or is one that the operator named: not a name that an attacker bound to it.
    pub(super) fn knows_host(&self, host: &str) -> bool {
        if self.any {
            // Every page may come in as itself: re-binding gains it nothing.
            return true;
        }
        let Some((host, _)) = authority(host) else { return false };
        host.is_loopback() || self.exact.iter().any(|origin| origin.host == host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_host_and_exact_entries_only() {
        let allowed = AllowedOrigins::parse([
            "https://good.example",
            "http://[2001:db8::1]:8080/",
            "tauri://localhost",
        ]);
        let allowed = allowed.unwrap();
        let cases = [
            ("http://localhost:3000", "localhost:3000", true),
            ("http://LOCALHOST:3000", "localhost:3000", true),
            ("http://localhost:3001", "localhost:3000", false),
            ("http://localhost", "localhost:3000", false),
            ("https://app.example", "app.example", true),
            ("http://app.example", "app.example", true),
            ("https://app.example", "app.example:443", true),
            ("https://app.example", "app.example:80", false),
            ("https://app.example:8443", "app.example", false),
            ("https://app.example.", "app.example", true),
            ("http://[::1]:3000", "[::1]:3000", true),
            ("http://[0:0:0:0:0:0:0:1]:3000", "[::1]:3000", true),
            ("http://127.0.0.1:3000", "localhost:3000", false),
            ("https://good.example", "x", true),
            ("https://GOOD.example:443", "x", true),
            ("http://good.example", "x", false),
            ("https://good.example.evil", "x", false),
            ("https://good.example:444", "x", false),
            ("https://evil.good.example", "x", false),
            ("https://good.example@evil", "x", false),
            ("https://good.example/path", "x", false),
            ("http://[2001:db8::1]:8080", "x", true),
            ("tauri://localhost", "x", true),
            ("tauri://localhost", "localhost", true),
            ("file://localhost", "localhost", false),
            ("null", "x", false),
            ("", "x", false),
            ("https://", "", false),
            ("https://app.example:", "app.example", false),
        ];
        for (origin, host, expected) in cases {
            assert_eq!(allowed.allows(origin, Some(host)), expected, "{origin} {host}");
        }
        assert!(!allowed.allows("http://localhost", None));
    }

    #[test]
    fn the_wildcard_is_explicit() {
        let allowed = AllowedOrigins::parse(["*"]).unwrap();
        assert!(allowed.allows("null", None) && allowed.allows("https://any", Some("x")));
        assert!(allowed.knows_host("any.example"));
        for bad in ["good.example", "https://*.example", "https://a/b", "null", "", "https://a b"] {
            assert!(AllowedOrigins::parse([bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn loopback_hosts_are_known() {
        let allowed = AllowedOrigins::parse(["https://app.example"]).unwrap();
        for host in [
            "localhost",
            "LocalHost:1",
            "127.0.0.1:3000",
            "127.9.9.9",
            "[::1]:3000",
            "app.example",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(allowed.knows_host(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil",
            "127.0.0.1.evil",
            "0.0.0.0",
            "10.0.0.1",
            "",
            "[::1",
            "::1",
            "a:b:c",
        ] {
            assert!(!allowed.knows_host(host), "{host}");
        }
    }
}
