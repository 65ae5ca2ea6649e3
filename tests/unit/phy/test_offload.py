from mptcp_stack.phy import NO_OFFLOADS, OFFLOADS, SoftwareOffload, memory_pair
from mptcp_stack.wire import Checksum, decode


def test_super_segments_are_cut_and_completed_for_a_device_without_offloads(super_segment):
    near, far = memory_pair(NO_OFFLOADS)
    device = SoftwareOffload(near)
    assert device.capabilities.max_packet_bytes == OFFLOADS.max_packet_bytes
    assert device.send([super_segment]) == 1
    packets = far.receive(10)
    assert [packet.length for packet in packets] == [1500, 1500, 52 + 3500 - 2 * 1448]
    assert {packet.checksum for packet in packets} == {Checksum.NONE}
    # decode verifies the checksums.
    payload = b"".join(bytes(chunk) for packet in packets for chunk in decode(packet).payload)
    assert payload == b"".join(super_segment.parts[1:])


def test_a_capable_device_gets_packets_as_they_are(super_segment):
    near, far = memory_pair(OFFLOADS)
    assert SoftwareOffload(near).send([super_segment]) == 1
    (packet,) = far.receive(10)
    assert packet.gso_size == 1448


def test_a_super_segment_that_was_taken_in_part_does_not_count(super_segment):
    near, _ = memory_pair(NO_OFFLOADS, queue_packets=4)
    assert SoftwareOffload(near).send([super_segment, super_segment]) == 1
