//! How many descriptors the process may have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the number of descriptors that this process may have to what the system lets it have. Shells and service managers
/// start programs with 1,024, a value of the time of `select`: that is fewer connections than one gateway holds. Gives what holds
/// now; `None` is no limit.
pub fn raise_descriptor_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(problem) => {
            log::warn!("only {current:?} descriptors, and the limit cannot be raised: {problem}");
            current
        }
    }
}
