//! Servers to compare with: the design that tutorials teach, and what the kernel alone charges.

pub mod floor;
pub mod tutorial;

/// Raises the soft limit of open files to the hard one, where the system lets us: a baseline takes what it gets.
pub fn raise_file_limit() {
    crate::limits::raise();
}
