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

# Salt's own way looks for eighteen kinds of modules, each with a connection of its own: a second of a
# new node's processor time. Nodes with `autoload_dynamic_modules: false` get ours here alone.
{% for kind in ('modules', 'states') %}
evctl-toolkit-{{ kind }}:
  file.recurse:
    - name: {{ opts.extension_modules }}/{{ kind }}
    - source: salt://_{{ kind }}
    - exclude_pat: 'E@__pycache__'
    - reload_modules: True
{% endfor %}

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
