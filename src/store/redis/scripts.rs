//! The scripts that run in Redis: what must not be torn apart is one of them.

use std::sync::LazyLock;

use redis::{Cmd, FromRedisValue, Script};

use super::{
    connect::{Trouble, Wire},
    link::Link,
};
use crate::store::StoreError;

/// One script, called by its hash.
pub(super) struct Lua {
    code: &'static str,
    hash: String,
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {$(
        $(#[$doc])*
        pub(super) static $name: LazyLock<Lua> = LazyLock::new(|| Lua::new(include_str!($file)));
    )*};
}

scripts! {
    WRITE = "lua/write.lua";
    CLAIM = "lua/claim.lua";
    RECREATE = "lua/recreate.lua";
    RELEASE = "lua/release.lua";
    DISOWN = "lua/disown.lua";
    DELETE = "lua/delete.lua";
    READ = "lua/read.lua";
    SEND = "lua/send.lua";
    RETIRE = "lua/retire.lua";
    TRIAL = "lua/trial.lua";
    RENAME = "lua/rename.lua";
}

impl Lua {
    fn new(code: &'static str) -> Self {
        Self { code, hash: Script::new(code).get_hash().to_owned() }
    }

    /// A call, to which further arguments may be added.
    pub(super) fn call(&self, keys: &[&str]) -> Cmd {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(self.hash.as_str()).arg(keys.len()).arg(keys);
        cmd
    }

    /// Runs a call; Redis is given the script where it does not know it (any more).
    pub(super) async fn run<T: FromRedisValue>(&self, wire: &Wire, call: &Cmd) -> Result<T, Trouble> {
        match wire.ask_value(call).await? {
            Err(error) if error.code() == Some("NOSCRIPT") => {
                wire.ask::<String>(redis::cmd("SCRIPT").arg("LOAD").arg(self.code)).await?;
                wire.ask(call).await
            }
            Err(error) => Err(Trouble::of(&error)),
            Ok(value) => T::from_redis_value(value).map_err(|error| Trouble::Denied(error.to_string())),
        }
    }

    /// As [`run`](Self::run), when there is a connection.
    pub(super) async fn on<T: FromRedisValue>(&self, link: &Link, call: &Cmd) -> Result<T, StoreError> {
        let wire = link.wire_soon().await?;
        Ok(self.run(&wire, call).await?)
    }
}
