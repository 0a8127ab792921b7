"""An image's whole way: decode, embed, compare, weigh."""
