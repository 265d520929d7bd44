<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
  <renderer-v2 type="categorizedSymbol" attr="status" symbollevels="0" forceraster="0" enableorderby="0">
    <categories>
{% for status in statuses %}
      <category value="{{ status }}" label="{{ status }}" symbol="{{ loop.index0 }}" render="true"/>
{% endfor %}
    </categories>
    <symbols>
{% for colour in statuses.values() %}
      <symbol name="{{ loop.index0 }}" type="fill" alpha="0.55" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option name="color" type="QString" value="{{ colour }}"/>
            <Option name="outline_color" type="QString" value="{{ colour }}"/>
            <Option name="outline_width" type="QString" value="0.4"/>
            <Option name="style" type="QString" value="solid"/>
          </Option>
          <prop k="color" v="{{ colour }}"/>
          <prop k="outline_color" v="{{ colour }}"/>
          <prop k="outline_width" v="0.4"/>
          <prop k="style" v="solid"/>
        </layer>
      </symbol>
{% endfor %}
    </symbols>
  </renderer-v2>
  <layerGeometryType>2</layerGeometryType>
</qgis>
