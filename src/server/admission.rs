//! How many sockets may be open: all together, and per client address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Sockets beyond the limits that still get an answer (a 503) instead of a reset.
const OVERFLOW: usize = 64;

/// The places of one server.
#[derive(Debug)]
pub(super) struct Admission {
    total: Arc<Semaphore>,
    overflow: Arc<Semaphore>,
    addresses: Arc<Addresses>,
}

#[derive(Debug)]
struct Addresses {
    max: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One socket's place; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    _total: OwnedSemaphorePermit,
    _address: Option<AddressPlace>,
    /// There was none left: the socket is only told so.
    pub(super) full: bool,
}

/// One of the places of an address.
#[derive(Debug)]
pub(super) struct AddressPlace {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Admission {
    pub(super) fn new(total: usize, per_address: usize) -> Self {
        let addresses = Addresses { max: per_address, open: Mutex::default() };
        Self {
            total: Arc::new(Semaphore::new(total.min(Semaphore::MAX_PERMITS))),
            overflow: Arc::new(Semaphore::new(OVERFLOW)),
            addresses: Arc::new(addresses),
        }
    }

    /// A place for a socket; `None` when not even a refusal can be given. `address` is `None` where it is not the client's.
    pub(super) fn socket(&self, address: Option<IpAddr>) -> Option<Place> {
        let granted = || {
            let total = Arc::clone(&self.total).try_acquire_owned().ok()?;
            let address = match address {
                Some(address) => Some(self.address(address)?),
                None => None,
            };
            Some(Place { _total: total, _address: address, full: false })
        };
        granted().or_else(|| {
            let total = Arc::clone(&self.overflow).try_acquire_owned().ok()?;
            Some(Place { _total: total, _address: None, full: true })
        })
    }

    /// One of an address's places.
    pub(super) fn address(&self, address: IpAddr) -> Option<AddressPlace> {
        let address = neighbourhood(address);
        let mut open = self.addresses.open.lock();
        let count = open.entry(address).or_default();
        if *count >= self.addresses.max {
            if *count == 0 {
                open.remove(&address);
            }
            return None;
        }
        *count += 1;
        drop(open);
        Some(AddressPlace { addresses: Arc::clone(&self.addresses), address })
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut open = self.addresses.open.lock();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

/// One IPv6 customer has a /64 at the least, so that counting single addresses would bound nothing.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let admission = Admission::new(3, 2);
        let one: IpAddr = "10.0.0.1".parse().unwrap();
        let held: Vec<_> = (0..2).map(|_| admission.socket(Some(one)).unwrap()).collect();
        assert!(held.iter().all(|place| !place.full));
        assert!(admission.socket(Some(one)).unwrap().full);
        let other = admission.socket(None).unwrap();
        assert!(!other.full);
        let refused: Vec<_> = std::iter::from_fn(|| admission.socket(None)).collect();
        assert_eq!(refused.len(), OVERFLOW);
        assert!(refused.iter().all(|place| place.full));
        drop((held, refused));
        assert!(!admission.socket(Some(one)).unwrap().full);
        drop(other);
        assert!(admission.addresses.open.lock().is_empty());
    }

    #[test]
    fn a_slash_64_is_one_neighbour() {
        let admission = Admission::new(10, 1);
        let _held = admission.address("2001:db8::1".parse().unwrap()).unwrap();
        assert!(admission.address("2001:db8::2:0:0:1".parse().unwrap()).is_none());
        assert!(admission.address("2001:db8:0:1::1".parse().unwrap()).is_some());
        let _v4 = admission.address("::ffff:10.0.0.1".parse().unwrap()).unwrap();
        assert!(admission.address("10.0.0.1".parse().unwrap()).is_none());
    }
}
