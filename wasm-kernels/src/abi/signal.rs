//! A word of memory in which a host says that CPU time is nearly used up.
use core::sync::atomic::AtomicU32;

/// workerd looks for a global of this name, which holds the word's address. It sets the word to 0 when it instantiates
/// the module, and to 24 (SIGXCPU) shortly before the CPU limit of a request. No other host and no kernel touches it.
#[no_mangle]
#[allow(non_upper_case_globals)]
pub static __instance_signal: AtomicU32 = AtomicU32::new(0xffff);
