//! The log on a disk that lies.

mod damage;
mod faults;
mod power;
mod rig;
mod run;
