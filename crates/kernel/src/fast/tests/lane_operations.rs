//! Each operation of a machine's lanes against its definition, model by model.

use core::cmp::Reverse;

use crate::fast::columns::BLOCK;
use crate::fast::lanes::{Column, Lanes, Providers, Sets, halves};

/// Columns and sets in the models' order.
pub(super) struct Inputs {
    pub(super) wild: [Column; 2],
    pub(super) numbers: [Column; 2],
    pub(super) providers: Providers,
    pub(super) sets: Sets,
    pub(super) bits: u32,
    pub(super) masks: [u64; 2],
}

/// What the models' column becomes in a machine's registers.
fn load<L: Lanes>(lanes: L, numbers: &Column) -> L::Numbers {
    let mut column = Column::default();
    (0..BLOCK).for_each(|model| column[L::place(model)] = numbers[model]);
    lanes.load(&column)
}

pub(super) fn check_numbers<L: Lanes>(lanes: L, inputs: &Inputs) {
    let [a, b] = &inputs.numbers;
    let (x, y) = (load(lanes, a), load(lanes, b));
    let [larger, smaller] = lanes.sort(x, y);
    let saw = |numbers: L::Numbers, expected: fn(i32, i32) -> i32| {
        let numbers = lanes.store(numbers);
        for model in 0..BLOCK {
            let expected = expected(a[model].into(), b[model].into());
            assert_eq!(i32::from(numbers[L::place(model)] as i16), expected, "model {model}");
        }
    };
    saw(x, |a, _| a);
    saw(lanes.share(x, y), |a, b| (a * b + (1 << 14)) >> 15);
    saw(lanes.add(x, y), |a, b| (a + b).min(i32::from(i16::MAX)));
    saw(lanes.sub(x, y), |a, b| a - b);
    let [wild, other] = &inputs.wild;
    let difference = lanes.store(lanes.sub(load(lanes, wild), load(lanes, other)));
    for model in 0..BLOCK {
        let expected = wild[model].cast_signed().saturating_sub(other[model].cast_signed());
        assert_eq!(difference[L::place(model)].cast_signed(), expected, "model {model}");
    }
    let smaller_of_wild = lanes.store(lanes.sort(load(lanes, wild), load(lanes, other))[1]);
    for model in 0..BLOCK {
        let expected = wild[model].cast_signed().min(other[model].cast_signed());
        assert_eq!(smaller_of_wild[L::place(model)].cast_signed(), expected, "model {model}");
    }
    check_leaders(lanes, inputs);
    saw(larger, i32::max);
    saw(smaller, i32::min);
    assert_eq!(lanes.store(lanes.splat(a[0])), [a[0]; BLOCK]);
    let selected = lanes.store(lanes.select(x, inputs.bits));
    for model in 0..BLOCK {
        let chosen = (inputs.bits >> model & 1) as u16;
        assert_eq!(selected[L::place(model)], a[model] * chosen, "model {model}");
    }
    let mut sorted = inputs.numbers.as_flattened().to_vec();
    sorted.sort_unstable();
    assert_eq!(lanes.second_largest(larger, smaller), sorted[2 * BLOCK - 2]);
}

/// The best two by ten bits and then by position, of those with slack.
fn check_leaders<L: Lanes>(lanes: L, inputs: &Inputs) {
    let Inputs { wild: [slack, _], numbers: [numbers, _], bits, .. } = inputs;
    // Many with slack, few, and nobody.
    for bits in [u32::MAX, bits & bits >> 7 & bits >> 3, 0] {
        let slacks = lanes.select(load(lanes, slack), bits);
        let leaders = lanes.leaders(load(lanes, numbers), slacks);
        let has = |model: &usize| bits >> model & 1 == 1 && slack[*model].cast_signed() > 0;
        let mut ranked: Vec<_> = (0..BLOCK).filter(has).collect();
        ranked.sort_by_key(|model| (Reverse(numbers[*model] >> 5), *model));
        assert_ne!(leaders[0], leaders[1]);
        for (place, leader) in leaders.into_iter().enumerate() {
            match ranked.get(place) {
                Some(model) => {
                    assert_eq!((leader.model(), leader.bit()), (*model, 1 << model));
                    assert_eq!(leader.floor(), numbers[*model] & !31);
                }
                None => assert!(leader.model() >= BLOCK && leader.bit() == 0),
            }
        }
    }
}

pub(super) fn check_masks<L: Lanes>(lanes: L, inputs: &Inputs) {
    let Inputs { wild: [a, b], providers, sets: Sets([lower, upper]), masks: [mask, few], .. } =
        inputs;
    let above = lanes.above(load(lanes, a), load(lanes, b));
    let outside = lanes.outside(providers, *mask);
    let mut sets = Sets::default();
    for model in 0..BLOCK {
        sets.0[0][L::set_place(model)] = lower[model];
        sets.0[1][L::set_place(model)] = upper[model];
    }
    let disjoint = lanes.disjoint(&sets, *few);
    let room = (mask >> 57) as i8;
    // Near zero too, where the room decides.
    let near = a.map(|number| (number.cast_signed() >> (mask % 10)).cast_unsigned());
    let [negative, far_below] = lanes.negative(load(lanes, &near), room);
    let [low, high] = halves(*few);
    for model in 0..BLOCK {
        let holds = |bits: u32| bits >> model & 1 == 1;
        assert_eq!(holds(above), a[model] as i16 > b[model] as i16, "model {model}");
        assert_eq!(holds(negative), near[model].cast_signed() < 0, "model {model}");
        assert_eq!(holds(far_below), near[model].cast_signed() < -i16::from(room), "model {model}");
        let byte = usize::from(providers.byte[model]);
        let allowed = byte < 8 && mask >> (8 * byte) & u64::from(providers.bit[model]) != 0;
        assert_eq!(holds(outside), !allowed, "model {model}");
        let common = lower[model] & low != 0 || upper[model] & high != 0;
        assert_eq!(holds(disjoint), !common, "model {model}");
    }
}
