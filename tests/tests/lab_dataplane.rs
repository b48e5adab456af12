//! The data plane on the real kernel, each test in network namespaces of its own: what is applied is read back equal,
//! by our own dump and by `nft`; what others do is survived or repaired; and traffic goes where the table says.

use tests::enter_lab_at_start;

enter_lab_at_start!();

#[path = "lab_dataplane/figures.rs"]
mod figures;
#[path = "lab_dataplane/kernel.rs"]
mod kernel;
#[path = "../../crates/dataplane/src/tests/random.rs"]
#[allow(missing_docs)]
mod random;
#[path = "lab_dataplane/traffic.rs"]
mod traffic;
