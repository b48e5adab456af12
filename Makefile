# Verbs only: what they do is in the crates and in `tests`.
# Each verb says what it installs and is quick the second time.

SHELL       := /bin/bash
MUSL        := x86_64-unknown-linux-musl
CACHE       := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/harbinger
TOOLS       := tests/tools/main.go tests/tools/go.mod tests/tools/go.sum
LOCALKUBE   := $(CACHE)/localkube-$(shell cat $(TOOLS) | sha256sum | cut -c1-12)
KUBE_X      := -X k8s.io/component-base/version

# The static binary is what the labs, the stories and the demo run.
export HARBINGER_BIN       := $(CURDIR)/target/$(MUSL)/release/harbinger
export HARBINGER_LOCALKUBE := $(LOCALKUBE)

.PHONY: demo test check sim lab cluster soak bench crds images lint-deps fuzz binary packages compiler toolchain localkube

demo: binary $(if $(CLUSTER),packages localkube)
	cargo run --quiet --package tests --bin demo -- $(if $(KEEP),--keep) $(if $(CLUSTER),--cluster)

test: toolchain packages check sim binary lab localkube cluster
	@echo "all of make test passed"

# What a developer runs before a commit.
check: toolchain
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --workspace --exclude tests
	cargo test --package tests --test tidy --test crds --test cases --test reference --test twins
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

# The real machines in virtual time: a hundred seeds and those that ever failed, or COUNT from SEED on.
sim: toolchain
	$(if $(SEED),SIM_SEED=$(SEED)) $(if $(COUNT),SIM_COUNT=$(COUNT)) cargo test --package tests --test sim -- --nocapture $(if $(SEED),every_seed_holds)

# Namespaces, real sockets, the kernel as the client.
lab: binary packages
	cargo test --package tests --test 'lab_*' -- --test-threads=1

# Stories on a real kube-apiserver, etcd, controller-manager and kube-proxy.
cluster: binary packages localkube
	cargo test --package tests --test 'cluster_*' -- --test-threads=1

# The long forms: minutes, or a million of something.
soak: binary packages localkube
	cargo test --workspace --exclude tests --exclude members -- --ignored
	cargo test --release --config profile.release.lto=false --config profile.release.codegen-units=16 --package members -- --ignored
	cargo test --package tests --test sim --test 'lab_*' --test 'cluster_*' -- --test-threads=1 --ignored

# The harness needs no link-time optimisation; what it measures is the static binary.
bench: binary localkube
	cargo run --release --config profile.release.lto=false --config profile.release.codegen-units=16 --package tests --bin bench -- $(ONLY)

# T=frames|datagrams|bfd|bgp
fuzz:
	cd tests/fuzz && cargo +nightly fuzz run $(T)

crds:
	UPDATE=1 cargo test --package tests --test crds

binary: toolchain
	cargo build --release --target $(MUSL) --package harbinger

images: binary packages
	@command -v aarch64-linux-gnu-gcc >/dev/null || { echo "installing gcc-aarch64-linux-gnu"; apt-get update -qq && apt-get install -y -qq gcc-aarch64-linux-gnu; }
	rustup target add aarch64-unknown-linux-musl
	cargo build --release --target aarch64-unknown-linux-musl --package harbinger

# Not a part of `make test`: the two tools are built from source the first time (some minutes).
lint-deps:
	@command -v cargo-deny >/dev/null || { echo "installing cargo-deny"; cargo install --locked cargo-deny; }
	@command -v cargo-machete >/dev/null || { echo "installing cargo-machete"; cargo install --locked cargo-machete; }
	cargo deny --all-features check bans licenses sources
	cargo machete

# What a fresh Debian or Ubuntu lacks; kube-proxy calls nft and iptables, the labs start routers. The routers' packages
# would start their services, on port 179 among others: while they are installed nothing may be started, unless the
# machine has such a rule of its own, and of the services only those that came with this call are then switched off.
packages:
	@missing=""; for pair in nft:nftables iptables:iptables conntrack:conntrack curl:curl vtysh:frr bird:bird2 gobgpd:gobgpd; do \
	  PATH=$$PATH:/usr/sbin:/sbin command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair##*:}"; done; \
	if [ -n "$$missing" ]; then echo "installing$$missing"; \
	  rule=/usr/sbin/policy-rc.d; [ -e $$rule ] && rule=""; \
	  if [ -n "$$rule" ]; then trap "rm -f $$rule" EXIT; printf '#!/bin/sh\nexit 101\n' >$$rule; chmod 755 $$rule; fi; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing || exit; \
	  for pair in frr:frr bird2:bird gobgpd:gobgpd; do case "$$missing " in *" $${pair%%:*} "*) \
	    if command -v systemctl >/dev/null; then systemctl disable --quiet $${pair##*:} 2>/dev/null || true; fi;; esac; done; fi

# A C compiler that links (gcc alone does not: Debian only recommends the library's headers to it) and builds ring.
compiler:
	@program=$$(mktemp); echo 'int main(void) { return 0; }' | cc -x c - -o $$program 2>/dev/null; linked=$$?; rm -f $$program; \
	[ $$linked = 0 ] || { echo "installing gcc and libc6-dev"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev; }

toolchain: compiler
	@rustup target list --installed | grep -qx $(MUSL) || { echo "adding the Rust target $(MUSL)"; rustup target add $(MUSL); }
	@for part in rustfmt clippy; do rustup component list --installed | grep -q "^$$part" || { echo "adding $$part"; rustup component add $$part; }; done

localkube: $(LOCALKUBE)

# The name carries the hash of its sources, so it has no prerequisites: a fresh clone is newer than the cache.
$(LOCALKUBE):
	@echo "building the control plane of the tests (Go modules, about 8 minutes, kept in $(CACHE))"
	@mkdir -p $(CACHE)
	cd tests/tools && CGO_ENABLED=0 go build -trimpath -o $@.new -ldflags "-s -w $(KUBE_X).gitVersion=v1.33.13 $(KUBE_X).gitMajor=1 $(KUBE_X).gitMinor=33" .
	@mv $@.new $@
