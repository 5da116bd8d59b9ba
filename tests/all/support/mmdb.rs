//! Writes country databases in the MaxMind DB format, version 2.0: a binary tree over the bits
//! of an address, then the data its leaves point to, then what the file says of itself.

use std::net::IpAddr;

/// A database of IPv6, as they are sold; IPv4 networks stand under `::/96`.
pub fn country_database(networks: &[(&str, u8, &str)]) -> Vec<u8> {
    let mut tree = Tree { nodes: vec![[None, None]] };
    let mut data = Vec::new();
    for (address, prefix, country) in networks {
        let (bits, length) = match address.parse().unwrap() {
            IpAddr::V4(address) => (u128::from(u32::from(address)), 96 + prefix),
            IpAddr::V6(address) => (u128::from(address), *prefix),
        };
        tree.insert(bits, length, data.len());
        data.extend(map(&[("country", map(&[("iso_code", text(country))]))]));
    }
    let mut file = tree.bytes();
    file.extend([0; 16]);
    file.extend(data);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    file.extend(map(&[
        ("node_count", number(UINT32, tree.nodes.len() as u64)),
        ("record_size", number(UINT16, 24)),
        ("ip_version", number(UINT16, 6)),
        ("database_type", text("Test-Country")),
        ("languages", head(ARRAY, 0)),
        ("binary_format_major_version", number(UINT16, 2)),
        ("binary_format_minor_version", number(UINT16, 0)),
        ("build_epoch", number(UINT64, 1)),
        ("description", map(&[])),
    ]));
    file
}

/// Each node leads on at 0 and at 1: to nothing, to another node, or to data at an offset.
struct Tree {
    nodes: Vec<[Option<Branch>; 2]>,
}

#[derive(Clone, Copy)]
enum Branch {
    Node(usize),
    Data(usize),
}

impl Tree {
    fn insert(&mut self, bits: u128, length: u8, data: usize) {
        let mut node = 0;
        for depth in 0..length {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            if depth + 1 == length {
                self.nodes[node][side] = Some(Branch::Data(data));
                return;
            }
            node = match self.nodes[node][side] {
                Some(Branch::Node(next)) => next,
                Some(Branch::Data(_)) => panic!("one network lies in another"),
                None => {
                    self.nodes.push([None, None]);
                    let next = self.nodes.len() - 1;
                    self.nodes[node][side] = Some(Branch::Node(next));
                    next
                }
            };
        }
    }

    /// Two records of 24 bits a node. Data lies behind the nodes and 16 zero bytes.
    fn bytes(&self) -> Vec<u8> {
        let count = self.nodes.len();
        let record = |branch: &Option<Branch>| match branch {
            None => count,
            Some(Branch::Node(node)) => *node,
            Some(Branch::Data(offset)) => count + 16 + offset,
        };
        self.nodes.iter().flatten().flat_map(|branch| record(branch).to_be_bytes()[5..].to_vec()).collect()
    }
}

const TEXT: u8 = 2;
const UINT16: u8 = 5;
const UINT32: u8 = 6;
const MAP: u8 = 7;
const UINT64: u8 = 9;
const ARRAY: u8 = 11;

/// Type and size of a value; types past 7 stand in a second byte.
fn head(kind: u8, size: usize) -> Vec<u8> {
    let size = u8::try_from(size).ok().filter(|size| *size < 29).expect("tests write short values");
    if kind <= 7 { vec![kind << 5 | size] } else { vec![size, kind - 7] }
}

fn text(value: &str) -> Vec<u8> {
    [head(TEXT, value.len()), value.as_bytes().to_vec()].concat()
}

fn number(kind: u8, value: u64) -> Vec<u8> {
    let bytes: Vec<u8> = value.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    [head(kind, bytes.len()), bytes].concat()
}

fn map(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let members_written = members.iter().map(|(name, value)| [text(name), value.clone()].concat());
    [head(MAP, members.len()), members_written.collect::<Vec<_>>().concat()].concat()
}
