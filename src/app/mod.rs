//! The composition root: configuration -> services -> listeners -> relay. Knows everything, decides
//! nothing.

pub mod demo;
pub mod ports;
