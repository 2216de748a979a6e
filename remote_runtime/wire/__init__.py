"""The contract, the only room that both ends of the road import."""
