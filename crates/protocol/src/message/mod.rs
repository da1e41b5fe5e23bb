//! What clients and servers say to each other, as plain data.

mod command;
mod parts;
mod push;
mod reply;
mod table;

pub use command::*;
pub use parts::*;
pub use push::*;
pub use reply::*;
pub(crate) use table::{choice, message};
