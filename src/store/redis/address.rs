//! Where Redis is: the URL of `--store`, and who to be there. Knows how to keep its secrets out of logs.

use std::{fmt, path::PathBuf, time::Duration};

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// How to reach a Redis, and what this node is there.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// Where it is.
    pub address: RedisAddress,
    /// Certificates in PEM that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// How long the node may be silent before others take its sessions.
    pub lease: Duration,
    /// What people call this node; shown to other nodes' operators only.
    pub name: String,
}

/// Where a Redis is.
///
/// ```text
/// redis://[USER[:PASSWORD]@]HOST[:PORT][/DB]
/// rediss://…                                  with TLS
/// redis+unix:///PATH[?db=DB]
/// redis+sentinel://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]…]/NAME[/DB]     the primary that these sentinels call NAME
/// rediss+sentinel://…                         with TLS, the sentinels too
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RedisAddress {
    pub(super) place: Place,
    pub(super) tls: bool,
    pub(super) db: i64,
    user: Option<String>,
    password: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Tcp(Host),
    Unix(PathBuf),
    Sentinel { sentinels: Vec<Host>, name: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    /// Without brackets.
    pub(super) name: String,
    pub(super) port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            return write!(f, "[{}]:{}", self.name, self.port);
        }
        write!(f, "{}:{}", self.name, self.port)
    }
}

impl Host {
    fn parse(text: &str, default_port: u16) -> Result<Self, &'static str> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (name, port) = rest.split_once(']').ok_or("an IPv6 address ends with ]")?;
                (name, port.strip_prefix(':'))
            }
            None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
        };
        if name.is_empty() {
            return Err("the host is missing");
        }
        let port = port.map_or(Ok(default_port), |port| port.parse().map_err(|_| "the port is no number"))?;
        Ok(Self { name: name.to_owned(), port })
    }
}

impl RedisAddress {
    /// Reads a URL. The error names what is wrong, never the URL itself: it may hold a password.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let (scheme, rest) =
            url.split_once("://").ok_or("a store is redis://HOST[:PORT][/DB], or rediss://…")?;
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (tls, sentinel) = match scheme {
            "redis" => (false, false),
            "rediss" => (true, false),
            "redis+sentinel" => (false, true),
            "rediss+sentinel" => (true, true),
            "redis+unix" => return Self::unix(rest, query),
            _ => {
                return Err(
                    "a store is redis://, rediss://, redis+sentinel://, rediss+sentinel:// or redis+unix://",
                );
            }
        };
        if query.is_some() {
            return Err("the URL takes no ?options");
        }
        let (who, rest) = rest.rsplit_once('@').map_or((None, rest), |(who, rest)| (Some(who), rest));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, password) = credentials(who)?;
        let (place, db) = if sentinel {
            let (name, db) = path.split_once('/').unwrap_or((path, ""));
            if name.is_empty() {
                return Err("after the sentinels comes /NAME, what they call the primary");
            }
            let sentinels = hosts.split(',').map(|host| Host::parse(host, SENTINEL_PORT));
            (Place::Sentinel { sentinels: sentinels.collect::<Result<_, _>>()?, name: name.to_owned() }, db)
        } else {
            (Place::Tcp(Host::parse(hosts, PORT)?), path)
        };
        Ok(Self { place, tls, db: database(db)?, user, password })
    }

    fn unix(path: &str, query: Option<&str>) -> Result<Self, &'static str> {
        if !path.starts_with('/') {
            return Err("a socket is redis+unix:///PATH");
        }
        let db = match query {
            None => "",
            Some(query) => query.strip_prefix("db=").ok_or("the only option is ?db=N")?,
        };
        let place = Place::Unix(path.into());
        Ok(Self { place, tls: false, db: database(db)?, user: None, password: None })
    }

    /// Who to be there, instead of what the URL says.
    #[must_use]
    pub fn with(mut self, user: Option<String>, password: Option<String>) -> Self {
        self.user = user.or(self.user);
        self.password = password.or(self.password);
        self
    }

    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    pub(super) fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }
}

fn credentials(who: Option<&str>) -> Result<(Option<String>, Option<String>), &'static str> {
    let Some(who) = who else { return Ok((None, None)) };
    let (user, password) = who.split_once(':').map_or((who, None), |(user, password)| (user, Some(password)));
    let given = |text: &str| decode(text).map(|text| Some(text).filter(|text| !text.is_empty()));
    Ok((given(user)?, password.map_or(Ok(None), given)?))
}

fn database(text: &str) -> Result<i64, &'static str> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse::<u16>().map(i64::from).map_err(|_| "the database is a number")
}

/// Takes `%40` for `@`, and so on.
fn decode(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err("after % come two hex digits") };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    String::from_utf8(bytes).map_err(|_| "user and password are UTF-8")
}

/// Without the password.
impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.tls { "s" } else { "" };
        let mut who = self.user.clone().unwrap_or_default();
        if self.password.is_some() {
            who.push_str(":***");
        }
        if !who.is_empty() {
            who.push('@');
        }
        match &self.place {
            Place::Tcp(host) => write!(f, "redis{s}://{who}{host}/{}", self.db),
            Place::Unix(path) => write!(f, "redis+unix://{who}{}?db={}", path.display(), self.db),
            Place::Sentinel { sentinels, name } => {
                let hosts: Vec<_> = sentinels.iter().map(ToString::to_string).collect();
                write!(f, "redis{s}+sentinel://{who}{}/{name}/{}", hosts.join(","), self.db)
            }
        }
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::RedisAddress;

    #[test]
    fn urls_are_read_and_shown_without_their_password() {
        for (url, shown) in [
            ("redis://localhost", "redis://localhost:6379/0"),
            ("redis://[::1]:7000/3", "redis://[::1]:7000/3"),
            ("rediss://me:se%40cret@cache.example:1/2", "rediss://me:***@cache.example:1/2"),
            ("redis://:secret@h", "redis://:***@h:6379/0"),
            ("redis://:se@cret@h", "redis://:***@h:6379/0"),
            ("redis+unix:///run/redis.sock?db=4", "redis+unix:///run/redis.sock?db=4"),
            ("redis+sentinel://a,b:2/main", "redis+sentinel://a:26379,b:2/main/0"),
            ("rediss+sentinel://u:p@a,[::2]:2/main/7", "rediss+sentinel://u:***@a:26379,[::2]:2/main/7"),
        ] {
            let address = RedisAddress::parse(url).expect(url);
            assert_eq!((address.to_string().as_str(), format!("{address:?}").as_str()), (shown, shown));
        }
        let address = RedisAddress::parse("redis://me:se%40cret@h").unwrap();
        assert_eq!((address.user(), address.password()), (Some("me"), Some("se@cret")));
        let other = address.with(Some("you".to_owned()), None);
        assert_eq!((other.user(), other.password()), (Some("you"), Some("se@cret")));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_url() {
        for url in [
            "localhost:6379",
            "http://h",
            "redis://",
            "redis://h:port",
            "redis://h/x",
            "redis://h?x=1",
            "redis://:%zz@h",
            "redis://[::1",
            "redis+sentinel://a,b",
            "redis+unix://run/x",
        ] {
            let problem = RedisAddress::parse(url).expect_err(url);
            assert!(!problem.contains("zz"), "{problem}");
        }
    }
}
