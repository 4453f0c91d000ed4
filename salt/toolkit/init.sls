# The node's own part of evctl: what fetches, verifies, installs and swaps releases.
{% from 'map.jinja' import evctl, root, role with context %}

{% if not evctl.get('id') %}
evctl-node-unknown:
  test.fail_without_changes:
    - name: "the master doesn't know this node: add it to nodes.yaml, or give it a new token"
{% else %}
evctl-toolkit-code:
  file.recurse:
    - name: {{ root }}/opt/evctl/toolkit/artifacts
    - source: salt://toolkit/artifacts
    - exclude_pat: 'E@__pycache__'
    - clean: True

evctl-toolkit-settings:
  file.serialize:
    - name: {{ root }}/etc/evctl/node.yaml
    - makedirs: True
    - mode: '0644'
    - serializer: yaml
    - dataset: {{ {
        'id': evctl.id,
        'role': role,
        'root': evctl.root,
        'run': evctl.run,
        'registry': evctl.registry,
        'trust': evctl.trust,
        'services': evctl.services,
        'keep': evctl.keep,
        'orders': evctl.get('orders'),
        'environment': evctl.get('environment', {}),
      } | json }}
{% endif %}
