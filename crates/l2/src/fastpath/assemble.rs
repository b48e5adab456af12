//! Programs for the kernel's virtual machine (RFC 9669), put together instruction by instruction.
//!
//! Owns the encoding of the instructions that the program needs, by name, and the resolution of its jumps. Does not
//! know what a program is for; loading and verification are the kernel's.

/// One instruction, as the kernel reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insn {
    /// Class and operation.
    pub code: u8,
    /// Register that is written, or the base of a store.
    pub destination: u8,
    /// Register that is read; [`MAP`] where a map is loaded.
    pub source: u8,
    /// Of memory, or of a jump in instructions.
    pub offset: i16,
    /// Operand; the place of a map in the program's table where a map is loaded.
    pub immediate: i32,
}

/// `source` of an instruction whose immediate names a map (`BPF_PSEUDO_MAP_FD`).
pub const MAP: u8 = 1;
/// Code of the first of two instructions that load 64 bits.
pub const LOAD_64: u8 = 0x18;

/// A register. `R0` is the result of calls, `R1` to `R5` are lost by them, `R10` is the end of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reg(pub(super) u8);

pub(super) const R0: Reg = Reg(0);
pub(super) const R1: Reg = Reg(1);
pub(super) const R2: Reg = Reg(2);
pub(super) const R3: Reg = Reg(3);
pub(super) const R4: Reg = Reg(4);
pub(super) const R5: Reg = Reg(5);
pub(super) const R6: Reg = Reg(6);
pub(super) const R7: Reg = Reg(7);
pub(super) const R8: Reg = Reg(8);
pub(super) const R9: Reg = Reg(9);
pub(super) const STACK: Reg = Reg(10);

/// Width of a load or store.
#[derive(Clone, Copy, Debug)]
pub(super) enum Size {
    B2 = 0x08,
    B4 = 0x00,
    B8 = 0x18,
}

/// Arithmetic on 64 bits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Alu {
    Add = 0x00,
    Sub = 0x10,
    Or = 0x40,
    And = 0x50,
    Mov = 0xb0,
}

/// When a jump is taken; all comparisons are unsigned.
#[derive(Clone, Copy, Debug)]
pub(super) enum If {
    Equal = 0x10,
    Greater = 0x20,
    AtLeast = 0x30,
    AnyBit = 0x40,
    NotEqual = 0x50,
}

/// Functions of the kernel, by their numbers (`enum bpf_func_id`); all open to programs of any licence.
#[derive(Clone, Copy, Debug)]
pub(super) enum Call {
    MapLookup = 1,
    MapUpdate = 2,
    KtimeNs = 5,
    StoreBytes = 9,
    Redirect = 23,
    LoadBytes = 26,
    ChangeTail = 38,
}

/// A place to jump to, forward only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    insns: Vec<Insn>,
    /// Jumps that wait for their label.
    jumps: Vec<(usize, Label)>,
    labels: Vec<Option<usize>>,
}

impl Assembler {
    /// A label that is not yet bound.
    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// The label is here.
    pub(super) fn bind(&mut self, label: Label) {
        let here = self.insns.len();
        if let Some(place) = self.labels.get_mut(label.0) {
            *place = Some(here);
        }
    }

    /// `to = *(base + offset)`, zero-extended.
    pub(super) fn load(&mut self, size: Size, to: Reg, base: Reg, offset: i16) {
        self.push(0x61 | size as u8, to, base, offset, 0);
    }

    /// `*(base + offset) = from`.
    pub(super) fn store(&mut self, size: Size, base: Reg, offset: i16, from: Reg) {
        self.push(0x63 | size as u8, base, from, offset, 0);
    }

    /// `*(base + offset) = value`.
    pub(super) fn store_value(&mut self, size: Size, base: Reg, offset: i16, value: i32) {
        self.push(0x62 | size as u8, base, R0, offset, value);
    }

    /// `to = to op from`.
    pub(super) fn alu(&mut self, op: Alu, to: Reg, from: Reg) {
        self.push(0x0f | op as u8, to, from, 0, 0);
    }

    /// `to = to op value`, the value sign-extended.
    pub(super) fn alu_value(&mut self, op: Alu, to: Reg, value: i32) {
        self.push(0x07 | op as u8, to, R0, 0, value);
    }

    /// `to = value`, all 64 bits.
    pub(super) fn load_64(&mut self, to: Reg, value: u64) {
        let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
        self.push(LOAD_64, to, R0, 0, i32::from_le_bytes([a, b, c, d]));
        self.push(0, R0, R0, 0, i32::from_le_bytes([e, f, g, h]));
    }

    /// `to` = the map at this place of the program's table.
    pub(super) fn load_map(&mut self, to: Reg, place: i32) {
        self.push(LOAD_64, to, Reg(MAP), 0, place);
        self.push(0, R0, R0, 0, 0);
    }

    /// Jumps if `left` and `right` compare so.
    pub(super) fn jump_if(&mut self, when: If, left: Reg, right: Reg, to: Label) {
        self.jumps.push((self.insns.len(), to));
        self.push(0x0d | when as u8, left, right, 0, 0);
    }

    /// Jumps if `left` and the value compare so, as 64 bits.
    pub(super) fn jump_if_value(&mut self, when: If, left: Reg, right: i32, to: Label) {
        self.jumps.push((self.insns.len(), to));
        self.push(0x05 | when as u8, left, R0, 0, right);
    }

    /// Jumps if the low 32 bits of `left` and the value compare so.
    pub(super) fn jump_if_value_32(&mut self, when: If, left: Reg, right: i32, to: Label) {
        self.jumps.push((self.insns.len(), to));
        self.push(0x06 | when as u8, left, R0, 0, right);
    }

    /// `*(u64*)(base + offset) += from`, atomically.
    pub(super) fn atomic_add(&mut self, base: Reg, offset: i16, from: Reg) {
        self.push(0xdb, base, from, offset, 0x00);
    }

    /// If `*(u64*)(base + offset)` is `R0` it becomes `new`, atomically; `R0` is what it was.
    pub(super) fn compare_exchange(&mut self, base: Reg, offset: i16, new: Reg) {
        self.push(0xdb, base, new, offset, 0xf1);
    }

    /// Calls a function of the kernel with `R1` to `R5`; the result is in `R0`.
    pub(super) fn call(&mut self, function: Call) {
        self.push(0x85, R0, R0, 0, function as i32);
    }

    /// Ends the program with `R0`.
    pub(super) fn exit(&mut self) {
        self.push(0x95, R0, R0, 0, 0);
    }

    /// The program.
    ///
    /// # Panics
    /// A jump to a label that is not bound, or backward: a mistake of whoever wrote the program, and there is one.
    pub(super) fn finish(mut self) -> Vec<Insn> {
        for (at, label) in self.jumps {
            let target = self.labels.get(label.0).copied().flatten();
            let target = target.expect("every label of the program is bound");
            let offset = target.checked_sub(at + 1).expect("jumps go forward");
            let insn = self.insns.get_mut(at).expect("a jump is an instruction");
            insn.offset = i16::try_from(offset).expect("the program is short");
        }
        self.insns
    }

    fn push(&mut self, code: u8, to: Reg, from: Reg, offset: i16, immediate: i32) {
        self.insns.push(Insn {
            code,
            destination: to.0,
            source: from.0,
            offset,
            immediate,
        });
    }
}
