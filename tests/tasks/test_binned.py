"""Numbers of the public edition's sentences."""

from tasks.reporting.binned import words


def test_of_two_numbers_that_a_sentence_may_mean_the_first_of_the_facts_is_told_in_every_run():
    """Both are 0.480 in the sentence; binned, one is 0.48 and the other 0.47. A set of names has another order in each process."""
    names = [f"arm {number}" for number in range(40)]
    exact = {"evidence": {name: 0.4801 if number == 0 else 0.4799 for number, name in enumerate(names)}}
    public = {"evidence": {name: 0.48 if number == 0 else 0.47 for number, name in enumerate(names)}}
    assert words("an AUC of 0.480", exact, public) == "an AUC of 0.48"
    turned = {"evidence": dict(reversed(exact["evidence"].items()))}
    assert words("an AUC of 0.480", turned, public) == "an AUC of 0.47"
