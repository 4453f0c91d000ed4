# The release itself: fetched, verified, installed and serving; nothing to do when it is already.
{% from 'map.jinja' import evctl with context %}

evctl-role-release:
  evrelease.converged:
    - name: {{ evctl.release }}
    - require:
      - sls: toolkit
      - sls: role.settings
