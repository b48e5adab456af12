//! Every metric there is: its name, its shape, its help. `tests/tidy.rs` holds the reference page against
//! [`Name::ALL`].

/// Histogram: change of a Service received → status written, seconds.
pub const STATUS_WRITTEN: &str = "harbinger_service_status_written_seconds";
/// Histogram: change of a Service received → announced, seconds.
pub const ANNOUNCED: &str = "harbinger_service_announced_seconds";

/// Histogram: a probe began → result, seconds.
pub const PROBED: &str = "harbinger_probe_seconds";

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Goes up and down.
    Gauge,
    /// Only grows.
    Counter,
}

macro_rules! names {
    ($($variant:ident = $shape:ident $text:literal, $help:literal;)*) => {
        /// A metric's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Name {
            $(#[doc = $help] $variant,)*
        }

        impl Name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As it is exposed.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// One sentence.
            pub fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }

            /// Gauge or counter.
            pub fn shape(self) -> Shape {
                match self { $(Self::$variant => Shape::$shape,)* }
            }

            /// Whether this is a counter whose name has never ended in `_total`.
            pub fn bare_counter(name: &str) -> bool {
                Self::ALL.iter().any(|known| {
                    known.as_str() == name && known.shape() == Shape::Counter && !name.ends_with("_total")
                })
            }
        }
    };
}

names! {
    AllocatorAddresses = Gauge "metallb_allocator_addresses_total", "Number of usable IP addresses, per pool";
    AllocatorIpv4Addresses = Gauge "metallb_allocator_ipv4_addresses_total", "Number of usable IPv4 addresses, per pool";
    AllocatorIpv6Addresses = Gauge "metallb_allocator_ipv6_addresses_total", "Number of usable IPv6 addresses, per pool";
    AllocatorAddressesInUse = Gauge "metallb_allocator_addresses_in_use_total", "Number of IP addresses in use, per pool";
    AllocatorIpv4AddressesInUse = Gauge "metallb_allocator_ipv4_addresses_in_use_total", "Number of IPv4 addresses in use, per pool";
    AllocatorIpv6AddressesInUse = Gauge "metallb_allocator_ipv6_addresses_in_use_total", "Number of IPv6 addresses in use, per pool";
    AllocatorServicesAllocated = Gauge "metallb_allocator_services_allocated_total", "Number of Services that hold an address, per pool";
    ClientUpdates = Counter "metallb_k8s_client_updates_total", "Number of changes of Kubernetes objects that have been processed";
    ClientUpdateErrors = Counter "metallb_k8s_client_update_errors_total", "Number of changes of Kubernetes objects that could not be read as their kind";
    ClientConfigLoaded = Gauge "metallb_k8s_client_config_loaded_bool", "1 if the configuration was successfully loaded at least once";
    ClientConfigStale = Gauge "metallb_k8s_client_config_stale_bool", "1 if some object of the configuration is not used because of an error in it";
    SpeakerAnnounced = Gauge "metallb_speaker_announced", "Services that this node means to announce; harbinger_speaker_answering has what it really does";
    Layer2RequestsReceived = Counter "metallb_layer2_requests_received", "Number of layer2 requests received for owned IPs";
    Layer2ResponsesSent = Counter "metallb_layer2_responses_sent", "Number of layer2 responses sent for owned IPs in response to requests";
    Layer2GratuitousSent = Counter "metallb_layer2_gratuitous_sent", "Number of gratuitous layer2 packets sent for owned IPs as a result of failovers";
    BgpSessionUp = Gauge "metallb_bgp_session_up", "BGP session state (1 is up, 0 is down)";
    BgpUpdates = Counter "metallb_bgp_updates_total", "Number of BGP UPDATE messages sent";
    BgpAnnouncedPrefixes = Gauge "metallb_bgp_announced_prefixes_total", "Number of prefixes currently being advertised on the BGP session";
    BgpPendingPrefixes = Gauge "metallb_bgp_pending_prefixes_total", "Number of prefixes that should be advertised on the BGP session";
    BgpOpensSent = Counter "metallb_bgp_opens_sent", "Number of BGP OPEN messages sent";
    BgpOpensReceived = Counter "metallb_bgp_opens_received", "Number of BGP OPEN messages received";
    BgpNotificationsSent = Counter "metallb_bgp_notifications_sent", "Number of BGP NOTIFICATION messages sent";
    BgpUpdatesReceived = Counter "metallb_bgp_updates_total_received", "Number of BGP UPDATE messages received";
    BgpKeepalivesSent = Counter "metallb_bgp_keepalives_sent", "Number of BGP KEEPALIVE messages sent";
    BgpKeepalivesReceived = Counter "metallb_bgp_keepalives_received", "Number of BGP KEEPALIVE messages received";
    BgpRouteRefreshSent = Counter "metallb_bgp_route_refresh_sent", "Number of BGP ROUTE-REFRESH messages sent";
    BgpTotalSent = Counter "metallb_bgp_total_sent", "Number of BGP messages sent";
    BgpTotalReceived = Counter "metallb_bgp_total_received", "Number of BGP messages received";
    BfdSessionUp = Gauge "metallb_bfd_session_up", "BFD session state (1 is up, 0 is down)";
    BfdControlInput = Counter "metallb_bfd_control_packet_input", "Number of received BFD control packets";
    BfdControlOutput = Counter "metallb_bfd_control_packet_output", "Number of sent BFD control packets";
    BfdUpEvents = Counter "metallb_bfd_session_up_events", "Number of BFD session up events";
    BfdDownEvents = Counter "metallb_bfd_session_down_events", "Number of BFD session down events";
    SpeakerAnswering = Gauge "harbinger_speaker_answering", "1 for each address that is really answered for on an interface";
    FramesReceived = Counter "harbinger_layer2_frames_received_total", "Frames that passed the kernel filters";
    ForeignClaims = Counter "harbinger_layer2_foreign_claims_total", "Frames in which another station claimed an address of this node, by address";
    SpeakerClaims = Counter "harbinger_layer2_speaker_claims_total", "Frames in which another speaker claimed an address of this node, by address";
    Defences = Counter "harbinger_layer2_defences_total", "Times an address was announced again because another station claimed it, by address";
    AddressesInUse = Gauge "harbinger_layer2_addresses_in_use", "1 for each address that is not announced on some interface because another station has it";
    FramesDropped = Counter "harbinger_layer2_frames_dropped_total", "Received frames that were not answered, by reason";
    FastPathInterfaces = Gauge "harbinger_arp_fast_path_interfaces", "Interfaces on which the kernel answers plain ARP requests";
    FastPathReplies = Counter "harbinger_arp_fast_path_replies_total", "ARP requests answered inside the kernel, also counted as responses sent";
    FramesUnsent = Counter "harbinger_layer2_frames_unsent_total", "Frames that the kernel would not take";
    Problems = Gauge "harbinger_problems", "Objects with a problem, by severity and reason";
    Leader = Gauge "harbinger_controller_leader", "1 on the replica that allocates";
    Services = Gauge "harbinger_controller_services", "Services by what the last plan did with them";
    Writes = Counter "harbinger_writes_total", "Writes to the cluster, by kind and outcome";
    Turns = Counter "harbinger_turns_total", "Turns of a loop, by loop";
    TurnMicros = Counter "harbinger_turn_microseconds_total", "Microseconds spent in the turns of a loop, by loop";
    LateTurns = Counter "harbinger_late_turns_total", "Turns of the wire loop that came so late that another node may have taken over";
    MembersAlive = Gauge "harbinger_members_alive", "Live members as this node hears them, itself included";
    MembersSettled = Gauge "harbinger_members_settled", "1 once this node may count itself among the members";
    ClaimsHeld = Gauge "harbinger_claims_held", "Addresses that this node claims";
    ClaimsLost = Counter "harbinger_claims_lost_total", "Claims of this node that another node's beat, so that it fell silent";
    Moves = Counter "harbinger_moves_total", "Addresses that this node took or gave, by reason";
    MembersDatagrams = Counter "harbinger_members_datagrams_total", "Membership datagrams, by direction";
    MembersDropped = Counter "harbinger_members_dropped_total", "Membership datagrams that were not used, by reason";
    NodeHealth = Gauge "harbinger_node_health", "1 for the state of each probed node, by node, family and state";
    NodeWeight = Gauge "harbinger_node_weight_percent", "Share of new connections of a node that is well; less than 100 while it grows after a return";
    ServiceServers = Gauge "harbinger_service_healthy_nodes", "Nodes that can serve, of each Service that is probed for itself";
    Probes = Counter "harbinger_probes_total", "Health probes, by rung and result";
    ProbesBudget = Gauge "harbinger_probes_per_second", "Health probes a second that the probed nodes and Services amount to";
    ProbesInFlight = Gauge "harbinger_probes_in_flight", "Health probes that are being carried out";
    ProbesUnused = Counter "harbinger_probes_unused_total", "Health probes that were late, lost or delayed, by which";
    HealthChanges = Counter "harbinger_health_changes_total", "Changes of health of nodes and of Services on nodes";
    FrontPorts = Gauge "harbinger_front_ports", "Ports of Services in the forward table, by who takes their packets";
    FrontTargets = Gauge "harbinger_front_targets", "1 for each node that new connections may go to, 0 for one that is down";
    FrontFailing = Gauge "harbinger_front_failing", "1 while the kernel does not have the forward table that is wanted";
    FrontTables = Counter "harbinger_front_tables_total", "Forward tables that were wanted, one after the other";
    FrontFailures = Counter "harbinger_front_failures_total", "Times the forward table could not be applied or read";
    FrontApplyMicros = Gauge "harbinger_front_apply_microseconds", "Microseconds that the last forward table took to apply";
    FrontTransactions = Counter "harbinger_front_transactions_total", "Transactions of the forward table that the kernel took";
    FrontChanges = Counter "harbinger_front_changes_total", "Elements, rules, chains and sets that changed in them";
    FrontRepairs = Counter "harbinger_front_repairs_total", "Times another program's change of the forward table was undone";
    FrontFlowsForgotten = Counter "harbinger_front_flows_forgotten_total", "Tracked connections that were deleted because their node is dead or drained";
    ConntrackEntries = Gauge "harbinger_conntrack_entries", "Connections that the kernel tracks";
    ConntrackMax = Gauge "harbinger_conntrack_entries_limit", "Connections that the kernel would track at most";
    ProcessResidentMemoryBytes = Gauge "process_resident_memory_bytes", "Resident memory size in bytes";
}
