"""Whether what answers still fits what it is asked: drift, errors on labels that arrive, health."""
