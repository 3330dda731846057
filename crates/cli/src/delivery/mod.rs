//! Delivery of simulated records to a file, a server or Kafka.

mod deliver;
mod outlet;
mod pace;
mod summary;

pub use self::deliver::{DeliveryOptions, deliver};
pub use self::outlet::Outlet;
pub use self::summary::{Receipt, Summary, Tally};
