//! The kept digest under every interleaving:
//! `RUSTFLAGS="--cfg loom" cargo test --release -p calybris-kernel --test kept_loom --target-dir target/loom`

#[cfg(loom)]
use loom::sync::atomic;

#[cfg(loom)]
#[path = "../src/snapshot/kept.rs"]
mod kept;

#[cfg(loom)]
#[test]
fn whoever_asks_first_everybody_gets_the_digest() {
    // The words are alike, and every place more multiplies the schedules.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let kept = loom::sync::Arc::new(kept::Kept::empty());
        let digest: [u8; 32] = core::array::from_fn(|place| place as u8 + 1);
        let ask = {
            let kept = kept.clone();
            move || assert_eq!(kept.get_or(|| digest), digest)
        };
        let other = loom::thread::spawn(ask);
        assert_eq!(kept.get_or(|| digest), digest);
        other.join().unwrap();
        assert_eq!(kept.get_or(|| [0; 32]), digest, "kept");
    });
}
