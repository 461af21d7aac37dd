"""Of the exercises of page 15, from the right answer, what one gets by a typical slip."""

WRONG = {
    "15.1": lambda r: [
        lambda n: 5 * 2 ** (n - 1),
        lambda n: 4 * n + 1,
        lambda n: r(n) + 1,
    ],  # doubled; stride 1; one off
    "15.2": lambda r: [
        lambda images, steps: r(images, 2 * steps),  # four passes a step
        lambda images, steps: r(images, steps - 1.5),  # without the gradient in W
        lambda images, steps: r(images, steps) / (1 - r(images, steps)),  # of the rest
    ],
    "15.3": lambda r: [
        lambda batch_size, ratio: 1 - r(batch_size, ratio),  # lost
        lambda batch_size, ratio: r(batch_size, 2 * ratio),  # without the half
        lambda batch_size, ratio: r(batch_size, ratio) ** (1 / 20),  # one step a visit
        lambda batch_size, ratio: r(1000, ratio),  # all images in each batch
    ],
    "15.4": lambda r: [
        lambda n, b, devices: r(n, b, 1),  # the last batch alone
        lambda n, b, devices: 1 / (1 - r(n, b, devices)) - 1,  # over the images
        lambda n, b, devices: -n % b / n if b < n else 0.0,
    ],
}
