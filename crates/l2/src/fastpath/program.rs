//! The program, in the order of its checks: the cheapest first, and nothing is changed before the last.
//!
//! Owns the instructions. It reads the frame into its stack and writes it back whole by the kernel's own functions,
//! never by pointers into the packet: with those the kernel would unshare every frame of the interface beforehand.

use super::assemble::{
    Alu, Assembler, Call, If, Label, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, Reg, STACK, Size,
};
use super::{Address, DROP, Insn, LEASE, NEXT, Rate, Table};
use crate::config::Config;
use crate::packet::FRAME_MIN;

/// The program for these budgets.
pub fn program(config: &Config) -> Vec<Insn> {
    let mut asm = Assembler::default();
    let out = Out {
        pass: asm.label(),
        limited: asm.label(),
    };
    read(&mut asm, out);
    sender(&mut asm, out);
    target(&mut asm, out);
    addressed(&mut asm, out);
    lease(&mut asm, out);
    budgets(&mut asm, config, out);
    reply(&mut asm, out);
    let asm = &mut asm;
    asm.bind(out.limited);
    asm.alu_value(Alu::Mov, R2, 1);
    asm.atomic_add(ADDRESS, Address::LIMITED, R2);
    asm.alu_value(Alu::Mov, R0, DROP.cast_signed());
    asm.exit();
    asm.bind(out.pass);
    asm.alu_value(Alu::Mov, R0, NEXT.cast_signed());
    asm.exit();
    std::mem::take(asm).finish()
}

/// Where a frame goes that gets no reply.
#[derive(Clone, Copy)]
struct Out {
    pass: Label,
    limited: Label,
}

/// Registers that calls keep: what the kernel passed in, the entries of two tables, the time.
const CONTEXT: Reg = R6;
const CONTROL: Reg = R7;
const ADDRESS: Reg = R8;
const NOW: Reg = R9;

/// Fields of `struct __sk_buff`.
const SKB_LENGTH: i16 = 0;
const SKB_PROTOCOL: i16 = 16;
const SKB_VLAN_PRESENT: i16 = 20;
const SKB_IFINDEX: i16 = 40;

/// The stack, from its end: the frame, the target's key, the key 0, a sender's key, a new budget.
const FRAME: i16 = -64;
const TARGET_KEY: i16 = -72;
const ONLY_KEY: i16 = -76;
const SENDER_KEY: i16 = -88;
const NEW_BUDGET: i16 = -96;

/// Octets of a frame that are read: Ethernet header and ARP packet.
const READ: i32 = 42;

/// Fields of the frame, on the stack.
const DESTINATION: i16 = FRAME;
const SOURCE: i16 = FRAME + 6;
const TYPE_AND_HARDWARE: i16 = FRAME + 12;
const PROTOCOL_AND_LENGTHS: i16 = FRAME + 16;
const OPERATION: i16 = FRAME + 20;
const SENDER_MAC: i16 = FRAME + 22;
const SENDER: i16 = FRAME + 28;
const TARGET_MAC: i16 = FRAME + 32;
const TARGET: i16 = FRAME + 38;
const PADDING: i16 = FRAME + 42;

const ETHERTYPE: u16 = 0x0806;

/// Octets as a number in the order of this machine, as a load has it.
const fn word(octets: [u8; 4]) -> i32 {
    i32::from_ne_bytes(octets)
}

const fn half(octets: [u8; 2]) -> i32 {
    // A half word is below 65,536: the conversion keeps its value.
    u16::from_ne_bytes(octets) as i32
}

/// Only ARP requests for Ethernet and IPv4 without any tag (L2-01, L2-02, L2-10).
fn read(asm: &mut Assembler, out: Out) {
    asm.alu(Alu::Mov, CONTEXT, R1);
    asm.load(Size::B4, R2, CONTEXT, SKB_PROTOCOL);
    asm.jump_if_value(If::NotEqual, R2, half(ETHERTYPE.to_be_bytes()), out.pass);
    asm.load(Size::B4, R2, CONTEXT, SKB_VLAN_PRESENT);
    asm.jump_if_value(If::NotEqual, R2, 0, out.pass);
    asm.alu(Alu::Mov, R1, CONTEXT);
    asm.alu_value(Alu::Mov, R2, 0);
    stack(asm, R3, FRAME);
    asm.alu_value(Alu::Mov, R4, READ);
    asm.call(Call::LoadBytes);
    asm.jump_if_value(If::NotEqual, R0, 0, out.pass);
    let fields = [
        (Size::B4, TYPE_AND_HARDWARE, word([0x08, 0x06, 0, 1])),
        (Size::B4, PROTOCOL_AND_LENGTHS, word([0x08, 0x00, 6, 4])),
        (Size::B2, OPERATION, half([0, 1])),
    ];
    for (size, offset, value) in fields {
        asm.load(size, R2, STACK, offset);
        asm.jump_if_value_32(If::NotEqual, R2, value, out.pass);
    }
}

/// A station that sends for itself and has an address (L2-05, L2-08). Keeps its address in R2 to R4.
fn sender(asm: &mut Assembler, out: Out) {
    for (offset, register) in HALVES.into_iter().zip([R2, R3, R4]) {
        asm.load(Size::B2, register, STACK, SOURCE + offset);
        asm.load(Size::B2, R5, STACK, SENDER_MAC + offset);
        asm.jump_if(If::NotEqual, register, R5, out.pass);
    }
    // The group bit is in the first octet.
    asm.jump_if_value(If::AnyBit, R2, half([1, 0]), out.pass);
    asm.alu(Alu::Mov, R5, R2);
    asm.alu(Alu::Or, R5, R3);
    asm.alu(Alu::Or, R5, R4);
    asm.jump_if_value(If::Equal, R5, 0, out.pass);
    asm.load(Size::B4, R5, STACK, SENDER);
    asm.jump_if_value(If::Equal, R5, 0, out.pass);
}

/// The target is announced here, and the sender's address is not one of ours in any way (L2-03, L2-09, L2-53).
fn target(asm: &mut Assembler, out: Out) {
    for offset in [0, 2] {
        asm.load(Size::B2, R2, STACK, TARGET + offset);
        asm.store(Size::B2, STACK, TARGET_KEY + offset, R2);
    }
    find(asm, Table::Addresses, TARGET_KEY, out.pass);
    asm.alu(Alu::Mov, ADDRESS, R0);
    asm.load(Size::B8, R2, ADDRESS, 0);
    asm.jump_if_value(If::Equal, R2, 0, out.pass);
    asm.load_map(R1, Table::Addresses.place());
    stack(asm, R2, SENDER);
    asm.call(Call::MapLookup);
    asm.jump_if_value(If::NotEqual, R0, 0, out.pass);
}

/// Somebody answers, the frame is for him or for all, and not from him (L2-04, L2-06, L2-07).
fn addressed(asm: &mut Assembler, out: Out) {
    asm.store_value(Size::B4, STACK, ONLY_KEY, 0);
    find(asm, Table::Control, ONLY_KEY, out.pass);
    asm.alu(Alu::Mov, CONTROL, R0);
    asm.load(Size::B2, R2, CONTROL, 6);
    asm.jump_if_value(If::Equal, R2, 0, out.pass);
    let [to_us, foreign] = [(); 2].map(|()| asm.label());
    for (offset, register) in HALVES.into_iter().zip([R2, R3, R4]) {
        asm.load(Size::B2, register, STACK, DESTINATION + offset);
    }
    asm.alu(Alu::Mov, R5, R2);
    asm.alu(Alu::And, R5, R3);
    asm.alu(Alu::And, R5, R4);
    asm.jump_if_value(If::Equal, R5, 0xffff, to_us);
    for (offset, register) in HALVES.into_iter().zip([R2, R3, R4]) {
        asm.load(Size::B2, R5, CONTROL, offset);
        asm.jump_if(If::NotEqual, register, R5, out.pass);
    }
    asm.bind(to_us);
    for offset in HALVES {
        asm.load(Size::B2, R2, STACK, SOURCE + offset);
        asm.load(Size::B2, R3, CONTROL, offset);
        asm.jump_if(If::NotEqual, R2, R3, foreign);
    }
    asm.alu_value(Alu::Mov, R0, NEXT.cast_signed());
    asm.exit();
    asm.bind(foreign);
}

/// The lease has not ended, and ends no later than one can. Keeps the time.
fn lease(asm: &mut Assembler, out: Out) {
    find(asm, Table::Lease, ONLY_KEY, out.pass);
    // Until the time is known, its register holds the end of the lease.
    asm.load(Size::B8, NOW, R0, 0);
    asm.call(Call::KtimeNs);
    asm.alu(Alu::Mov, R1, NOW);
    asm.alu(Alu::Mov, NOW, R0);
    // One that has ended is a number far above every lease.
    asm.alu(Alu::Sub, R1, NOW);
    asm.load_64(R2, u64::try_from(LEASE.as_nanos()).unwrap_or(0));
    asm.jump_if(If::Greater, R1, R2, out.pass);
}

/// The sender's budget, then the interface's (L2-23): what one sender may not have must not cost the others.
fn budgets(asm: &mut Assembler, config: &Config, out: Out) {
    let known = asm.label();
    for offset in HALVES {
        asm.load(Size::B2, R2, STACK, SOURCE + offset);
        asm.store(Size::B2, STACK, SENDER_KEY + offset, R2);
    }
    asm.store_value(Size::B2, STACK, SENDER_KEY + 6, 0);
    asm.load_map(R1, Table::Senders.place());
    stack(asm, R2, SENDER_KEY);
    asm.call(Call::MapLookup);
    asm.jump_if_value(If::NotEqual, R0, 0, known);
    asm.store(Size::B8, STACK, NEW_BUDGET, NOW);
    asm.load_map(R1, Table::Senders.place());
    stack(asm, R2, SENDER_KEY);
    stack(asm, R3, NEW_BUDGET);
    asm.alu_value(Alu::Mov, R4, 0);
    asm.call(Call::MapUpdate);
    asm.jump_if_value(If::NotEqual, R0, 0, out.pass);
    find(asm, Table::Senders, SENDER_KEY, out.pass);
    asm.bind(known);
    take(asm, Rate::of_sender(config), out);
    find(asm, Table::Budget, ONLY_KEY, out.pass);
    take(asm, Rate::of_interface(config), out);
}

/// Takes one from the budget at R0, the instant at which it is full again. Another processor that takes one between
/// the look and the write has it: the frame is passed on, so that no budget is ever exceeded here.
fn take(asm: &mut Assembler, rate: Rate, out: Out) {
    let later = asm.label();
    asm.alu(Alu::Mov, R1, R0);
    asm.load(Size::B8, R0, R1, 0);
    asm.alu(Alu::Mov, R3, R0);
    asm.jump_if(If::AtLeast, R3, NOW, later);
    asm.alu(Alu::Mov, R3, NOW);
    asm.bind(later);
    asm.alu(Alu::Mov, R4, R3);
    asm.alu(Alu::Sub, R4, NOW);
    asm.load_64(R5, rate.tolerance_nanos);
    asm.jump_if(If::Greater, R4, R5, out.limited);
    asm.load_64(R5, rate.interval_nanos);
    asm.alu(Alu::Add, R3, R5);
    asm.alu(Alu::Mov, R2, R0);
    asm.compare_exchange(R1, 0, R3);
    asm.jump_if(If::NotEqual, R0, R2, out.pass);
}

/// Makes the reply of the frame and sends it back (L2-20, L2-21).
fn reply(asm: &mut Assembler, out: Out) {
    for offset in HALVES {
        asm.load(Size::B2, R2, STACK, SOURCE + offset);
        asm.load(Size::B2, R3, CONTROL, offset);
        asm.store(Size::B2, STACK, DESTINATION + offset, R2);
        asm.store(Size::B2, STACK, TARGET_MAC + offset, R2);
        asm.store(Size::B2, STACK, SOURCE + offset, R3);
        asm.store(Size::B2, STACK, SENDER_MAC + offset, R3);
    }
    asm.store_value(Size::B2, STACK, OPERATION, half([0, 2]));
    for offset in [0, 2] {
        asm.load(Size::B2, R2, STACK, SENDER + offset);
        asm.store(Size::B2, STACK, TARGET + offset, R2);
        asm.load(Size::B2, R2, STACK, TARGET_KEY + offset);
        asm.store(Size::B2, STACK, SENDER + offset, R2);
    }
    asm.store_value(Size::B2, STACK, PADDING, 0);
    for offset in [2, 6, 10, 14] {
        asm.store_value(Size::B4, STACK, PADDING + offset, 0);
    }
    let length = i32::try_from(FRAME_MIN).unwrap_or(60);
    let fits = asm.label();
    asm.load(Size::B4, R2, CONTEXT, SKB_LENGTH);
    asm.jump_if_value(If::Equal, R2, length, fits);
    asm.alu(Alu::Mov, R1, CONTEXT);
    asm.alu_value(Alu::Mov, R2, length);
    asm.alu_value(Alu::Mov, R3, 0);
    asm.call(Call::ChangeTail);
    asm.jump_if_value(If::NotEqual, R0, 0, out.pass);
    asm.bind(fits);
    asm.alu(Alu::Mov, R1, CONTEXT);
    asm.alu_value(Alu::Mov, R2, 0);
    stack(asm, R3, FRAME);
    asm.alu_value(Alu::Mov, R4, length);
    asm.alu_value(Alu::Mov, R5, 0);
    asm.call(Call::StoreBytes);
    asm.jump_if_value(If::NotEqual, R0, 0, out.pass);
    asm.alu_value(Alu::Mov, R2, 1);
    asm.atomic_add(ADDRESS, Address::REPLIES, R2);
    asm.load(Size::B4, R1, CONTEXT, SKB_IFINDEX);
    asm.alu_value(Alu::Mov, R2, 0);
    asm.call(Call::Redirect);
    asm.exit();
}

/// The half words of a hardware address.
const HALVES: [i16; 3] = [0, 2, 4];

/// `to` points to this place of the stack.
fn stack(asm: &mut Assembler, to: Reg, offset: i16) {
    asm.alu(Alu::Mov, to, STACK);
    asm.alu_value(Alu::Add, to, i32::from(offset));
}

/// R0 points to the entry of this key; a frame without one is passed on.
fn find(asm: &mut Assembler, table: Table, key: i16, pass: Label) {
    asm.load_map(R1, table.place());
    stack(asm, R2, key);
    asm.call(Call::MapLookup);
    asm.jump_if_value(If::Equal, R0, 0, pass);
}
