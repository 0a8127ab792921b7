"""What somebody does who has installed the client and the service: rank, in a process without the checkout."""

import numpy as np
from clpips_client import Client


def main() -> None:
    """Rank noise against noise by a service of this process's own."""
    rng = np.random.default_rng(1)
    target, *candidates = rng.integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    with Client.local() as client:
        assert client.rank(target, [*candidates, target]).best.index == 3
    print("ranked by the client")  # noqa: T201


if __name__ == "__main__":
    main()
