//! The worked state digests, and every way a chain can be broken.

use std::string::String;
use std::{vec, vec::Vec};

use super::*;
use crate::tests::unhex;

#[derive(serde::Deserialize)]
struct Vector {
    step: u64,
    state_hex: String,
    digest: String,
}

#[test]
fn worked_digests_are_reproduced() {
    let vectors: Vec<Vector> =
        serde_json::from_str(include_str!("../../tests/data/state.json")).unwrap();
    assert_eq!(vectors.len(), 4);
    for vector in vectors {
        assert_eq!(state_digest(vector.step, &unhex(&vector.state_hex)), vector.digest);
    }
}

fn chain() -> (HexDigest, Vec<StateTransition>) {
    let states = [b"a", b"b", b"c", b"d", b"e"];
    let pairs = (1..).zip(states.windows(2));
    let transitions =
        pairs.map(|(step, pair)| StateTransition::new(step, pair[0], pair[1]).unwrap()).collect();
    (state_digest(0, b"a"), transitions)
}

#[test]
fn a_complete_chain_ends_at_the_trusted_step() {
    let (genesis, chain) = chain();
    assert_eq!(verify_trajectory(&genesis, 4, chain.clone()).unwrap(), state_digest(4, b"e"));
    assert_eq!(verify_trajectory(&genesis, 0, []).unwrap(), genesis);
    let cut = verify_trajectory(&genesis, 4, chain[..3].to_vec()).unwrap_err();
    assert_eq!(cut, EvidenceError::TrajectoryEnd { found: 3, expected: 4 });
    let long = verify_trajectory(&genesis, 3, chain).unwrap_err();
    assert_eq!(long, EvidenceError::TrajectoryEnd { found: 4, expected: 3 });
}

#[test]
fn nothing_can_be_left_out_swapped_repeated_or_replaced() {
    let (genesis, chain) = chain();
    for index in 0..chain.len() {
        let mut without = chain.clone();
        without.remove(index);
        assert!(verify_trajectory(&genesis, 4, without).is_err());
        let mut repeated = chain.clone();
        repeated.insert(index, chain[index]);
        assert!(verify_trajectory(&genesis, 4, repeated.clone()).is_err());
        assert!(verify_segment(repeated).is_err());
        let mut replaced = chain.clone();
        replaced[index].state_digest_before_hex = HexDigest::new(&[0; 32]);
        let broken = verify_trajectory(&genesis, 4, replaced).unwrap_err();
        let expected = chain[index].state_digest_before_hex.to_bytes();
        let (step, found) = (chain[index].step, [0; 32]);
        assert_eq!(broken, EvidenceError::StateBroken { step, found, expected });
        // The digests chain, the step does not: a digest covers its step, but only the caller has the state.
        let mut renumbered = chain.clone();
        renumbered[index].step += 4;
        let (found, expected) = (step + 4, step);
        let out_of_order = EvidenceError::StepOutOfOrder { found, expected };
        assert_eq!(verify_trajectory(&genesis, 4, renumbered.clone()).unwrap_err(), out_of_order);
        assert!(verify_segment(renumbered).is_err());
        if index > 0 {
            let mut swapped = chain.clone();
            swapped.swap(index - 1, index);
            assert!(verify_segment(swapped).is_err());
        }
    }
    assert!(verify_trajectory(&state_digest(0, b"z"), 4, chain.clone()).is_err());
    assert!(verify_segment(chain[1..].to_vec()).is_ok());
}

#[test]
fn step_zero_and_the_end_of_the_numbers_are_refused() {
    assert_eq!(StateTransition::new(0, b"", b"").unwrap_err(), EvidenceError::StepZero);
    let last = StateTransition::new(u64::MAX, b"a", b"b").unwrap();
    assert!(verify_segment(vec![last, last]).is_err());
    let json = serde_json::to_string(&last).unwrap();
    assert_eq!(serde_json::from_str::<StateTransition>(&json).unwrap(), last);
    let zero = json.replace("18446744073709551615", "0");
    assert!(serde_json::from_str::<StateTransition>(&zero).is_err());
}
