//! AS numbers and AS_PATH (RFC 4271 §4.3, §5.1.2; RFC 6793).

use std::fmt;

use crate::error::Fault;

/// What stands for a number above 65,535 where only two octets fit (RFC 6793 §9).
pub const AS_TRANS: u16 = 23_456;
/// LIMIT: numbers of one segment, whose count is one octet.
pub const SEGMENT_LEN_MAX: usize = 255;

/// An autonomous system number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asn(pub u32);

impl Asn {
    /// The number in two octets, [`AS_TRANS`] when it needs four.
    #[must_use]
    pub fn two_octets(self) -> u16 {
        u16::try_from(self.0).unwrap_or(AS_TRANS)
    }
}

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How the numbers of a segment relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SegmentKind {
    /// AS_SET: unordered.
    Set,
    /// AS_SEQUENCE: the nearest first.
    Sequence,
}

impl SegmentKind {
    fn octet(self) -> u8 {
        match self {
            SegmentKind::Set => 1,
            SegmentKind::Sequence => 2,
        }
    }
}

/// A part of an AS_PATH.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment {
    /// Set or sequence.
    pub kind: SegmentKind,
    /// The numbers; longer than [`SEGMENT_LEN_MAX`] is written as several segments.
    pub asns: Vec<Asn>,
}

/// An AS_PATH; empty on iBGP for what the sender originates.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AsPath {
    /// Segments, the nearest first.
    pub segments: Vec<Segment>,
}

impl AsPath {
    /// One sequence with `asn` standing `times` times; empty for zero.
    #[must_use]
    pub fn repeated(asn: Asn, times: usize) -> AsPath {
        if times == 0 {
            return AsPath::default();
        }
        AsPath {
            segments: vec![Segment {
                kind: SegmentKind::Sequence,
                asns: vec![asn; times],
            }],
        }
    }

    /// Whether a number does not fit two octets, so that AS4_PATH must go along (RFC 6793 §4.2.2).
    #[must_use]
    pub fn needs_four_octets(&self) -> bool {
        self.segments
            .iter()
            .flat_map(|segment| &segment.asns)
            .any(|asn| asn.0 > u32::from(u16::MAX))
    }

    /// Appends the value of the attribute.
    pub fn encode(&self, four_octets: bool, out: &mut Vec<u8>) {
        for segment in &self.segments {
            for asns in segment.asns.chunks(SEGMENT_LEN_MAX) {
                // At most SEGMENT_LEN_MAX.
                out.extend_from_slice(&[segment.kind.octet(), asns.len() as u8]);
                for asn in asns {
                    if four_octets {
                        out.extend_from_slice(&asn.0.to_be_bytes());
                    } else {
                        out.extend_from_slice(&asn.two_octets().to_be_bytes());
                    }
                }
            }
        }
    }

    /// Reads the value of the attribute.
    ///
    /// # Errors
    /// What [`validate`] says.
    pub fn decode(value: &[u8], four_octets: bool) -> Result<AsPath, Fault> {
        validate(value, four_octets)?;
        let mut segments = Vec::new();
        let mut rest = value;
        while let [kind, count, tail @ ..] = rest {
            let (octets, tail) = tail
                .split_at_checked(usize::from(*count) * width(four_octets))
                .unwrap_or_default();
            let asns = octets
                .chunks_exact(width(four_octets))
                .map(number)
                .collect();
            let kind = if *kind == 1 {
                SegmentKind::Set
            } else {
                SegmentKind::Sequence
            };
            segments.push(Segment { kind, asns });
            rest = tail;
        }
        Ok(AsPath { segments })
    }
}

impl fmt::Display for AsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, segment) in self.segments.iter().enumerate() {
            if number > 0 {
                f.write_str(" ")?;
            }
            let words: Vec<String> = segment.asns.iter().map(Asn::to_string).collect();
            match segment.kind {
                SegmentKind::Sequence => f.write_str(&words.join(" "))?,
                SegmentKind::Set => write!(f, "{{{}}}", words.join(","))?,
            }
        }
        Ok(())
    }
}

fn width(four_octets: bool) -> usize {
    if four_octets { 4 } else { 2 }
}

fn number(octets: &[u8]) -> Asn {
    Asn(octets
        .iter()
        .fold(0, |number, octet| number << 8 | u32::from(*octet)))
}

/// Walks the value without keeping anything (RFC 7606 §7.2, RFC 7607).
///
/// # Errors
/// [`Fault::Value`] for an unknown segment type, an empty segment or AS 0, [`Fault::Length`] for an overrun,
/// [`Fault::Confederation`] for segments of confederations.
pub fn validate(value: &[u8], four_octets: bool) -> Result<(), Fault> {
    let mut rest = value;
    while !rest.is_empty() {
        let [kind, count, tail @ ..] = rest else {
            return Err(Fault::Length);
        };
        match kind {
            1 | 2 => {}
            3 | 4 => return Err(Fault::Confederation),
            _ => return Err(Fault::Value),
        }
        if *count == 0 {
            return Err(Fault::Value);
        }
        let octets = usize::from(*count) * width(four_octets);
        let Some((asns, tail)) = tail.split_at_checked(octets) else {
            return Err(Fault::Length);
        };
        let zero = if four_octets {
            asns.chunks_exact(4).any(|asn| asn == [0; 4])
        } else {
            asns.chunks_exact(2).any(|asn| asn == [0; 2])
        };
        if zero {
            return Err(Fault::Value);
        }
        rest = tail;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
